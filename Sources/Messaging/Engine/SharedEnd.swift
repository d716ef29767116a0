/// One end for several operations: told when the last of them is over.
// @unchecked Sendable: touched by the owner of the driver's lock only.
@safe package final class SharedEnd: @unchecked Sendable {
  private let each: (Int, Completion) -> Void
  private let last: () -> Void
  private var left: Int
  /// What keeps the memory of all of them.
  let keeper: AnyObject?

  /// - Parameters:
  ///   - each: Called with every operation's end, in any order.
  ///   - last: Called after the last.
  package init(count: Int, keeper: AnyObject?, each: @escaping (Int, Completion) -> Void, last: @escaping () -> Void) {
    left = count
    self.keeper = keeper
    self.each = each
    self.last = last
  }

  func end(_ index: Int, _ completion: Completion) {
    each(index, completion)
    left -= 1
    if left == 0 { last() }
  }
}
