#include "causeway_messaging.h"

const char *cwm_code_name(int32_t code) {
  switch (code) {
  case CWM_OK: return "OK";
  case CWM_PENDING: return "PENDING";
  case CWM_INVALID: return "INVALID";
  case CWM_WOULD_BLOCK: return "WOULD_BLOCK";
  case CWM_TRUNCATED: return "TRUNCATED";
  case CWM_TIMED_OUT: return "TIMED_OUT";
  case CWM_CANCELLED: return "CANCELLED";
  case CWM_PEER_LOST: return "PEER_LOST";
  case CWM_CLOSED: return "CLOSED";
  case CWM_NOT_CONNECTED: return "NOT_CONNECTED";
  case CWM_VERSION_MISMATCH: return "VERSION_MISMATCH";
  case CWM_KEY_REFUSED: return "KEY_REFUSED";
  case CWM_ADDRESS_IN_USE: return "ADDRESS_IN_USE";
  case CWM_NO_UCX: return "NO_UCX";
  case CWM_FORKED: return "FORKED";
  case CWM_NO_MEMORY: return "NO_MEMORY";
  case CWM_NOT_FOUND: return "NOT_FOUND";
  default: return "FAILED";
  }
}

uint32_t cwm_abi_version(void) { return CWM_ABI_VERSION; }
