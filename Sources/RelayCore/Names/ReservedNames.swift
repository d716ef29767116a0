/// Names that nobody may take: hosts that machines look up by themselves (WPAD, ISATAP, mail autoconfiguration, MTA-STS), what resolvers
/// treat as their own, and the relay's. A relay belongs to its owner and the people he knows, so `www`, `api` and `app` are free.
package enum ReservedNames {
  package static func contains(_ label: String) -> Bool { all.contains(label) }

  package static let all: Set<String> = [
    "relay", "causeway", "wpad", "isatap", "autoconfig", "autodiscover", "mta-sts", "localhost", "localdomain", "broadcasthost",
  ]
}
