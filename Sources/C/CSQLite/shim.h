/* SQLite 3. SQLITE_TRANSIENT is a cast that Swift cannot import. */
#ifndef CAUSEWAY_CSQLITE_H
#define CAUSEWAY_CSQLITE_H
#include <sqlite3.h>
static inline sqlite3_destructor_type shim_sqlite_transient(void) { return SQLITE_TRANSIENT; }
#endif
