/* libyaml. */
#ifndef CAUSEWAY_CYAML_H
#define CAUSEWAY_CYAML_H
#include <yaml.h>
#endif
