/// The word that a typo may have meant.
package enum ClosestWord {
  /// Edits (insert, delete, replace, swap neighbours) beyond which a word is another word.
  package static let maximumDistance = 3

  /// The candidate with the fewest edits, the first of equals; nil when none is near: at most three edits and fewer than half of the
  /// longer word, or an abbreviation of at least three letters.
  package static func of(_ word: String, among candidates: [String]) -> String? {
    var best: (distance: Int, word: String)?
    for candidate in candidates {
      let bare = candidate.drop { $0 == "-" }.count
      var distance = editDistance(word, candidate)
      if distance > maximumDistance || distance * 2 > max(bare, word.drop { $0 == "-" }.count) {
        guard word.drop(while: { $0 == "-" }).count >= 3, candidate.hasPrefix(word) else { continue }
        distance = maximumDistance
      }
      if best.map({ distance < $0.distance }) ?? true { best = (distance, candidate) }
    }
    return best?.word
  }

  /// Optimal string alignment distance: O(n * m), for words of at most 64 characters (longer ones count as far away).
  package static func editDistance(_ a: String, _ b: String) -> Int {
    let a = Array(a)
    let b = Array(b)
    if a.count > 64 || b.count > 64 { return .max / 4 }
    var beforeLast = [Int](repeating: 0, count: b.count + 1)
    var last = Array(0...b.count)
    for i in 0..<a.count {
      var row = [i + 1]
      for j in 0..<b.count {
        var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] { cost = min(cost, beforeLast[j - 1] + 1) }
        row.append(cost)
      }
      beforeLast = last
      last = row
    }
    return last[b.count]
  }
}
