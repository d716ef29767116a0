/// Names for those who asked for none: `brave-otter-4821`. They can be read out on the telephone and are no secret.
package enum RandomName {
  /// Draws for each length of the number before a digit is added: collisions end the search late, never the promise.
  static let drawsPerWidth = 8
  static let widths = 4...18

  /// The first drawn name that `isTaken` denies. 40 million names have a number of four digits; when eight draws all collide, the
  /// number gets longer, so that a nearly full table costs a few look-ups and never loops.
  package static func generate<E: Error>(
    using random: inout some RandomNumberGenerator, isTaken: (TunnelName) throws(E) -> Bool
  ) throws(E) -> TunnelName? {
    for width in widths {
      for _ in 0..<drawsPerWidth {
        let name = draw(digits: width, using: &random)
        if try !isTaken(name) { return name }
      }
    }
    return nil
  }

  private static func draw(digits: Int, using random: inout some RandomNumberGenerator) -> TunnelName {
    let adjective = adjectives[Int.random(in: 0..<adjectives.count, using: &random)]
    let noun = nouns[Int.random(in: 0..<nouns.count, using: &random)]
    var number = ""
    for _ in 0..<digits { number += String(Int.random(in: 0...9, using: &random)) }
    do throws(NameError) {
      return try TunnelName("\(adjective)-\(noun)-\(number)")
    } catch {
      preconditionFailure("the word lists hold letters only")
    }
  }

  static let adjectives = [
    "agile", "amber", "ample", "bold", "brave", "bright", "brisk", "calm", "cheery", "civil", "clear", "clever", "cosy", "crisp",
    "curious", "daring", "eager", "early", "earnest", "easy", "fair", "famous", "fancy", "fine", "fleet", "fond", "frank", "free",
    "fresh", "gentle", "glad", "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal",
    "lucky", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "patient", "polite", "proud", "quick", "quiet", "rapid",
    "ready", "sharp", "silver", "steady", "sunny", "swift", "tidy", "warm",
  ]
  static let nouns = [
    "acorn", "badger", "beacon", "beaver", "birch", "bison", "breeze", "bridge", "brook", "canoe", "cedar", "cloud", "comet", "coral",
    "crane", "delta", "dune", "eagle", "ember", "falcon", "fern", "ferry", "finch", "fjord", "forest", "fox", "gull", "harbor", "hazel",
    "heron", "hill", "island", "ivy", "juniper", "kite", "lagoon", "lake", "lantern", "lark", "linden", "lynx", "maple", "meadow", "mill",
    "moss", "oak", "orchid", "otter", "owl", "panda", "pebble", "pine", "poplar", "quay", "raven", "reed", "river", "robin", "sparrow",
    "spruce", "stone", "tulip", "valley", "willow",
  ]
}
