// What all fuzz targets share. Each target is one file beside this one: it decodes the input, checks the law
// decode -> encode -> decode and that pieces equal the whole, and traps when a law breaks. scripts/fuzz.sh builds and runs them.
import CausewayBase
import CausewayWire

/// Traps with a sentence when a law is broken; libFuzzer then keeps the input.
func law(_ holds: Bool, _ sentence: @autoclosure () -> String) {
  if !holds { fatalError("law broken: " + sentence()) }
}

/// A copy of libFuzzer's input, which lives only as long as the call.
func input(_ data: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] {
  // SAFETY: libFuzzer passes `count` readable bytes.
  unsafe Array(UnsafeBufferPointer(start: data, count: count))
}

extension ByteBuffer {
  var array: [UInt8] {
    let bytes = self.bytes
    return bytes.array(in: 0..<bytes.count)
  }
}

/// Names and values of field lines, comparable between different spans.
func pairs(_ fields: [FieldLine], _ bytes: Span<UInt8>) -> [[[UInt8]]] {
  var result: [[[UInt8]]] = []
  for line in fields { result.append([bytes.array(in: line.name.range), bytes.array(in: line.value.range)]) }
  return result
}

/// Two places to cut `count` bytes, chosen by the bytes themselves so that a finding can be replayed.
func cuts(_ bytes: [UInt8]) -> [Int] {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
  let a = Int(hash % UInt64(bytes.count + 1))
  let b = Int((hash >> 32) % UInt64(bytes.count + 1))
  return [min(a, b), max(a, b), bytes.count]
}
