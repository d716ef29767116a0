import CausewayBase
import CausewayWire

@_cdecl("LLVMFuzzerTestOneInput") public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let bytes = unsafe input(data, count)
  if let address = IPAddress(bytes.span) {
    law(IPAddress(address.description) == address, "the text of an address means another")
    if let network = IPNetwork(address, prefixLength: address.bitCount) {
      law(network.contains(address), "a network of one contains its address")
    }
  }
  if let value = Base64.decode(bytes.span) { law(Array(Base64.encode(value.span).utf8) == bytes, "base64 has one form") }
  if let value = Base64.decodeURL(bytes.span) { law(Array(Base64.encodeURL(value.span).utf8) == bytes, "base64url has one form") }
  if let value = Hexadecimal.decode(bytes.span) {
    law(Hexadecimal.decode(Array(Hexadecimal.encode(value.span).utf8).span) == value, "hexadecimal")
  }
  let isText = UTF8Validator.isValid(bytes.span)
  law(isText == (String(validating: bytes, as: UTF8.self) != nil), "UTF-8 is what the standard library says")
  for cut in cuts(bytes) {
    var validator = UTF8Validator()
    let accepted = validator.accept(bytes.span.extracting(0..<cut)) && validator.accept(bytes.span.extracting(cut..<bytes.count))
    law((accepted && validator.isComplete) == isText, "UTF-8 in pieces")
  }
  let text = String(decoding: bytes, as: UTF8.self)
  do {
    let network = try IPNetwork(parsing: text)
    law((try? IPNetwork(parsing: network.description)) == network, "the text of a network means another")
    law(network.contains(network.address), "a network contains its first address")
  } catch { oneLine(error) }
  do {
    let pair = try HostPort(parsing: text, defaultPort: 80)
    law((try? HostPort(parsing: pair.description)) == pair, "the text of host and port means another")
  } catch { oneLine(error) }
  do {
    let url = try ServerURL(parsing: text)
    law((try? ServerURL(parsing: url.description)) == url, "the text of a URL means another")
  } catch { oneLine(error) }
  return 0
}

private func oneLine(_ error: AddressError) {
  law(!error.description.utf8.contains { $0 < 0x20 || $0 == 0x7F }, "a message is one line")
}
