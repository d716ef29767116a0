package import CausewaySupport

/// What happens above the paths, for one peer.
package struct BondSums: StatusRecord, Equatable, Sendable {
  package var rateUp = 0.0
  package var rateDown = 0.0
  /// Of packets that had to wait, last second.
  package var reorderDelayMeanMilliseconds = 0.0
  package var reorderDelayMaximumMilliseconds = 0.0
  package var heldPacketCount: UInt64 = 0
  /// Lost by a path and sent again in time.
  package var resentPacketCount: UInt64 = 0
  /// Missing here and then repaired, by a resend or by parity.
  package var repairedPacketCount: UInt64 = 0
  /// Given up here.
  package var lostPacketCount: UInt64 = 0
  package var duplicatePacketCount: UInt64 = 0
  package var latePacketCount: UInt64 = 0
  package var paritySentPacketCount: UInt64 = 0
  package var parityRepairedPacketCount: UInt64 = 0
  package var copiesSentPacketCount: UInt64 = 0
  package var queuedByteCount: UInt64 = 0
  package var queueDelayMilliseconds = 0.0
  package var queueDroppedPacketCount: UInt64 = 0
  package var queueMarkedPacketCount: UInt64 = 0

  package init() {}

  package mutating func exchange(_ json: inout JSONExchange) throws(JSONRecordError) { try exchangeFields(&json) }

  static let fields: [StatusField<BondSums>] = [
    .init("rate_up", .reading(\.rateUp), .gauge("rate_up_bits_per_second", "Rate of inner packets away from here, last second.")),
    .init("rate_down", .reading(\.rateDown), .gauge("rate_down_bits_per_second", "Rate of inner packets towards here, last second.")),
    .init(
      "reorder_delay_ms", .reading(\.reorderDelayMeanMilliseconds),
      .time("reorder_delay_seconds", "Mean wait of packets that came out of order, last second.")),
    .init(
      "reorder_delay_max_ms", .reading(\.reorderDelayMaximumMilliseconds),
      .time("reorder_delay_max_seconds", "Longest wait of packets that came out of order, last second.")),
    .init("held_packets", .count(\.heldPacketCount), .gauge("held_packets", "Packets that wait for an earlier one.")),
    .init(
      "resent_packets", .count(\.resentPacketCount), .counter("resent_packets_total", "Packets sent again because a path lost them.")),
    .init(
      "repaired_packets", .count(\.repairedPacketCount),
      .counter("repaired_packets_total", "Packets that were missing here and then repaired.")),
    .init("lost_packets", .count(\.lostPacketCount), .counter("lost_packets_total", "Packets given up here.")),
    .init("duplicate_packets", .count(\.duplicatePacketCount), .counter("duplicate_packets_total", "Copies dropped here.")),
    .init("late_packets", .count(\.latePacketCount), .counter("late_packets_total", "Packets that came after they were given up.")),
    .init("parity_sent_packets", .count(\.paritySentPacketCount), .counter("parity_packets_total", "Parity packets sent.")),
    .init(
      "parity_repaired_packets", .count(\.parityRepairedPacketCount),
      .counter("parity_repaired_packets_total", "Packets repaired by parity.")),
    .init("copies_sent_packets", .count(\.copiesSentPacketCount), .counter("copies_total", "Second copies of urgent packets sent.")),
    .init("queued_bytes", .count(\.queuedByteCount), .gauge("queue_bytes", "Bytes that wait for a path.")),
    .init("queue_delay_ms", .reading(\.queueDelayMilliseconds), .time("queue_delay_seconds", "How long they wait.")),
    .init(
      "queue_dropped_packets", .count(\.queueDroppedPacketCount),
      .counter("queue_dropped_packets_total", "Packets dropped by the queue.")),
    .init(
      "queue_marked_packets", .count(\.queueMarkedPacketCount),
      .counter("queue_marked_packets_total", "Packets marked CE by the queue.")),
  ]
}
