/* OpenSSL 3, and its function-like macros (and macros with casts) as functions. A shim translates and decides nothing. */
#ifndef CAUSEWAY_COPENSSL_H
#define CAUSEWAY_COPENSSL_H
#include <openssl/bio.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* getrandom(2) until `count` bytes are there. Returns 0 or -errno. */
static inline int shim_random_fill(void *bytes, size_t count) {
  unsigned char *next = (unsigned char *)bytes;
  while (count > 0) {
    ssize_t got = getrandom(next, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    next += got;
    count -= (size_t)got;
  }
  return 0;
}

/* 1 when the processor has AES instructions, so that AES-GCM is faster than ChaCha20-Poly1305. */
static inline int shim_cpu_has_aes(void) {
#if defined(__x86_64__) || defined(__i386__)
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 25)) ? 1 : 0;
#elif defined(__aarch64__)
  return (getauxval(AT_HWCAP) & (1ul << 3)) ? 1 : 0;
#else
  return 0;
#endif
}

/* EVP_MAC_init with the digest named by a parameter. */
static inline int shim_hmac_init(EVP_MAC_CTX *context, const char *digest, const void *key, size_t count) {
  OSSL_PARAM parameters[2] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0), OSSL_PARAM_construct_end()};
  return EVP_MAC_init(context, (const unsigned char *)key, count, parameters);
}

/* EVP_MAC_init of BLAKE2SMAC for codes of `size` bytes. */
static inline int shim_blake2s_mac_init(EVP_MAC_CTX *context, const void *key, size_t count, size_t size) {
  OSSL_PARAM parameters[2] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
  return EVP_MAC_init(context, (const unsigned char *)key, count, parameters);
}

/* --- ChaCha20 and Poly1305 at the provider's own interface (provider-cipher(7), provider-mac(7)): the layer above costs 60 ns a packet --- */
typedef struct shim_direct {
  void *provider;
  OSSL_FUNC_cipher_newctx_fn *cipher_new;
  OSSL_FUNC_cipher_freectx_fn *cipher_free;
  OSSL_FUNC_cipher_encrypt_init_fn *cipher_init;
  OSSL_FUNC_cipher_cipher_fn *cipher_run;
  OSSL_FUNC_mac_newctx_fn *mac_new;
  OSSL_FUNC_mac_freectx_fn *mac_free;
  OSSL_FUNC_mac_init_fn *mac_init;
  OSSL_FUNC_mac_update_fn *mac_update;
  OSSL_FUNC_mac_final_fn *mac_final;
} shim_direct;

static inline const OSSL_DISPATCH *shim_find_algorithm(const OSSL_PROVIDER *provider, int operation, const char *name) {
  int no_store = 0;
  const OSSL_ALGORITHM *all = OSSL_PROVIDER_query_operation(provider, operation, &no_store);
  size_t length = strlen(name);
  for (; all && all->algorithm_names; all++) {
    const char *names = all->algorithm_names; /* "A:B:C" */
    if (strncasecmp(names, name, length) == 0 && (names[length] == 0 || names[length] == ':')) return all->implementation;
  }
  return NULL;
}

/* Fills `direct` from the provider that serves `cipher`. Returns 1 when every function is there. */
static inline int shim_direct_find(shim_direct *direct, const EVP_CIPHER *cipher) {
  const OSSL_PROVIDER *provider = EVP_CIPHER_get0_provider(cipher);
  if (!provider) return 0;
  direct->provider = OSSL_PROVIDER_get0_provider_ctx(provider);
  const OSSL_DISPATCH *c = shim_find_algorithm(provider, OSSL_OP_CIPHER, "ChaCha20");
  const OSSL_DISPATCH *m = shim_find_algorithm(provider, OSSL_OP_MAC, "POLY1305");
  for (; c && c->function_id; c++) {
    switch (c->function_id) {
    case OSSL_FUNC_CIPHER_NEWCTX: direct->cipher_new = OSSL_FUNC_cipher_newctx(c); break;
    case OSSL_FUNC_CIPHER_FREECTX: direct->cipher_free = OSSL_FUNC_cipher_freectx(c); break;
    case OSSL_FUNC_CIPHER_ENCRYPT_INIT: direct->cipher_init = OSSL_FUNC_cipher_encrypt_init(c); break;
    case OSSL_FUNC_CIPHER_CIPHER: direct->cipher_run = OSSL_FUNC_cipher_cipher(c); break;
    }
  }
  for (; m && m->function_id; m++) {
    switch (m->function_id) {
    case OSSL_FUNC_MAC_NEWCTX: direct->mac_new = OSSL_FUNC_mac_newctx(m); break;
    case OSSL_FUNC_MAC_FREECTX: direct->mac_free = OSSL_FUNC_mac_freectx(m); break;
    case OSSL_FUNC_MAC_INIT: direct->mac_init = OSSL_FUNC_mac_init(m); break;
    case OSSL_FUNC_MAC_UPDATE: direct->mac_update = OSSL_FUNC_mac_update(m); break;
    case OSSL_FUNC_MAC_FINAL: direct->mac_final = OSSL_FUNC_mac_final(m); break;
    }
  }
  return direct->cipher_new && direct->cipher_free && direct->cipher_init && direct->cipher_run && direct->mac_new &&
         direct->mac_free && direct->mac_init && direct->mac_update && direct->mac_final;
}
static inline void *shim_direct_cipher_new(const shim_direct *direct, const unsigned char *key) {
  unsigned char iv[16] = {0};
  void *context = direct->cipher_new(direct->provider);
  if (context && direct->cipher_init(context, key, 32, iv, sizeof iv, NULL) != 1) {
    direct->cipher_free(context);
    return NULL;
  }
  return context;
}
static inline void shim_direct_cipher_free(const shim_direct *direct, void *context) { direct->cipher_free(context); }
static inline void *shim_direct_mac_new(const shim_direct *direct) { return direct->mac_new(direct->provider); }
static inline void shim_direct_mac_free(const shim_direct *direct, void *context) { direct->mac_free(context); }
/* iv: block counter and nonce, 16 bytes. */
static inline int shim_direct_cipher(
    const shim_direct *direct, void *context, const unsigned char *iv, const unsigned char *in, unsigned char *out, size_t count) {
  size_t written = 0;
  return direct->cipher_init(context, NULL, 0, iv, 16, NULL) == 1 && direct->cipher_run(context, out, &written, count, in, count) == 1;
}
static inline int shim_direct_mac(
    const shim_direct *direct, void *context, const unsigned char *key, const unsigned char *in, size_t count, unsigned char *tag) {
  size_t written = 0;
  return direct->mac_init(context, key, 32, NULL) == 1 && direct->mac_update(context, in, count) == 1 &&
         direct->mac_final(context, tag, &written, 16) == 1;
}

/* --- BIO: macros --- */
static inline void shim_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline void shim_bio_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }

/* --- SSL_CTX: macros around SSL_CTX_ctrl, and option bits with casts --- */
static inline void shim_ctx_set_options(SSL_CTX *context) {
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}
static inline int shim_ctx_set_minimum_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_min_proto_version(context, version);
}
static inline int shim_ctx_set_maximum_version(SSL_CTX *context, int version) {
  return (int)SSL_CTX_set_max_proto_version(context, version);
}
static inline int shim_ctx_set_groups(SSL_CTX *context, const char *list) { return (int)SSL_CTX_set1_groups_list(context, list); }
/* read_ahead with a receive buffer of `count` bytes: one recv brings several records. */
static inline void shim_ctx_set_read_ahead(SSL_CTX *context, size_t count) {
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, count);
}
static inline void shim_ctx_set_client_sessions(SSL_CTX *context, int (*added)(SSL *, SSL_SESSION *)) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, added);
}
/* Tickets only: no table of sessions on the server. */
static inline void shim_ctx_set_stateless_sessions(SSL_CTX *context) { SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); }
/* A key file that asks for a passphrase fails instead of prompting on the terminal. */
static inline int shim_no_passphrase(char *buffer, int size, int writing, void *data) {
  (void)buffer, (void)size, (void)writing, (void)data;
  return -1;
}
static inline void shim_ctx_refuse_passphrase(SSL_CTX *context) { SSL_CTX_set_default_passwd_cb(context, shim_no_passphrase); }

/* --- SSL: macros --- */
static inline int shim_ssl_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }
static inline SSL *shim_verifying_ssl(X509_STORE_CTX *context) {
  return (SSL *)X509_STORE_CTX_get_ex_data(context, SSL_get_ex_data_X509_STORE_CTX_idx());
}
static inline unsigned char shim_pointer_byte(const unsigned char *bytes, size_t index) { return bytes[index]; }

/* --- Certificates, for error messages: text is cut at `size` and holds printable ASCII only --- */
static inline void shim_append_text(char *out, size_t size, const char *text, int count) {
  size_t end = strlen(out);
  for (int i = 0; i < count && end + 1 < size; i++) out[end++] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
  out[end] = 0;
}
/* "a.example, *.b.example, 127.0.0.1" from subjectAltName, else the common name. */
static inline void shim_x509_names(X509 *certificate, char *out, size_t size) {
  out[0] = 0;
  GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    if (out[0]) shim_append_text(out, size, ", ", 2);
    const ASN1_STRING *value = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
    const unsigned char *bytes = ASN1_STRING_get0_data(value);
    int count = ASN1_STRING_length(value);
    char text[64];
    if (name->type == GEN_DNS) {
      shim_append_text(out, size, (const char *)bytes, count);
    } else if (count == 4) {
      shim_append_text(out, size, text, snprintf(text, sizeof text, "%d.%d.%d.%d", bytes[0], bytes[1], bytes[2], bytes[3]));
    } else {
      for (int j = 0; j + 1 < count && j < 16; j += 2)
        shim_append_text(out, size, text, snprintf(text, sizeof text, j ? ":%x" : "%x", bytes[j] << 8 | bytes[j + 1]));
    }
  }
  GENERAL_NAMES_free(names);
  if (out[0]) return;
  char common[128];
  int count = X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common, sizeof common);
  if (count > 0) shim_append_text(out, size, common, count);
}
/* The issuer's common name, else its organization. */
static inline void shim_x509_issuer(X509 *certificate, char *out, size_t size) {
  char text[128];
  out[0] = 0;
  X509_NAME *issuer = X509_get_issuer_name(certificate);
  int count = X509_NAME_get_text_by_NID(issuer, NID_commonName, text, sizeof text);
  if (count <= 0) count = X509_NAME_get_text_by_NID(issuer, NID_organizationName, text, sizeof text);
  if (count > 0) shim_append_text(out, size, text, count);
}
/* "2031-05-07" (UTC) of notBefore or notAfter. */
static inline void shim_x509_date(X509 *certificate, int after, char *out, size_t size) {
  struct tm t;
  out[0] = 0;
  if (ASN1_TIME_to_tm(after ? X509_get0_notAfter(certificate) : X509_get0_notBefore(certificate), &t))
    snprintf(out, size, "%04d-%02d-%02d", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday);
}
#endif
