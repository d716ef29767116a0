// CausewayCrypto
