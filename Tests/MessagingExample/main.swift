import CausewayMessaging

let engine = try Engine()
let server = try Server(on: engine)
let port = try await server.listen(on: "127.0.0.1")
let client = try Client(on: engine)
try await client.connect(to: "127.0.0.1", port: port)
try await client.send(Array("hello".utf8), tag: 7)
let (message, received) = try await server.receive(tag: 7)
print(received.tag.rawValue, received.byteCount, String(decoding: message.array(), as: UTF8.self))
