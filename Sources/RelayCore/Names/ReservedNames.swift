/// Names that nobody may take: hosts that visitors, mail servers and browsers trust or look up by themselves (RFC 2142 mailboxes,
/// WPAD, ISATAP, mail autoconfiguration), and those that the relay's owner is likely to want.
package enum ReservedNames {
  package static func contains(_ label: String) -> Bool { all.contains(label) }

  package static let all: Set<String> = [
    // the relay itself
    "relay", "causeway", "tunnel", "tunnels", "connect", "api", "ws", "metrics", "health", "status", "dashboard", "console",
    // the owner's site
    "www", "web", "app", "blog", "docs", "help", "support", "about", "static", "assets", "cdn", "download", "downloads", "shop",
    // who may do what
    "admin", "administrator", "root", "system", "login", "logout", "signin", "signup", "register", "account", "accounts", "auth",
    "oauth", "sso", "id", "billing", "pay", "payment", "payments", "secure", "security", "abuse", "postmaster", "hostmaster",
    "webmaster", "noc", "usenet", "news", "info", "marketing", "sales",
    // looked up by machines
    "mail", "email", "smtp", "imap", "pop", "pop3", "mx", "mx1", "mx2", "webmail", "autoconfig", "autodiscover", "mta-sts", "ftp",
    "ns", "ns1", "ns2", "ns3", "ns4", "dns", "wpad", "isatap", "localhost", "localdomain", "broadcasthost", "local", "internal",
    "gateway", "proxy", "vpn",
  ]
}
