import Glibc
import Testing

@testable import CausewayMessaging

@Suite("A /dev/shm that is too small")
struct SharedMemoryTests {
  @Test(
    "posix is left out, unless it was asked for and can start",
    arguments: [
      ("all", 200, "all"), ("all", 64, "^posix"), ("^tcp", 64, "^tcp,posix"), ("^posix", 0, "^posix"), ("posix,tcp", 64, "posix,tcp"),
      ("posix,tcp", 1, "tcp"), ("sm,tcp", 64, "sysv,cma,tcp"), ("shm,cma", 1, "sysv,cma"), ("sysv,posix,self", 1, "sysv,self"),
      ("tcp", 0, "tcp"), ("posix", 80, "posix"), ("posix", 16, "posix"),
    ])
  func choice(_ transports: String, _ megabytes: Int, _ expected: String) throws {
    let room = SharedMemoryRoom(folder: "/dev/shm", free: megabytes << 20)
    #expect(try room.transports(transports, unreceivedByteLimit: 64 << 20) == expected)
  }

  @Test("nothing but posix is an error that names the folder and the way out", arguments: ["posix", "posix,cma", "self,posix"])
  func alone(_ transports: String) {
    let error = #expect(throws: MessagingError.self) {
      try SharedMemoryRoom(folder: "/dev/shm", free: 64 << 10).transports(transports, unreceivedByteLimit: 64 << 20)
    }
    #expect(error?.description.contains("/dev/shm has 64 KiB left") == true)
  }

  @Test(
    "messages of every kind pass all the same, on every UCX", .enabled(if: getuid() == 0, "a mount needs root"),
    arguments: ["64k", "1m", "12m"], ["all", "posix,tcp", "sm"])
  func tiny(_ size: String, _ tls: String) throws {
    for environment in [[]] + otherFolders.map({ ["CAUSEWAY_UCX=\($0)"] }) {
      // In a chroot the root is no mount, whose propagation could be changed: then whoever made the chroot has seen to it.
      let mounting = "mount --make-rprivate / 2>/dev/null; mount -t tmpfs -o size=\(size) tmpfs /dev/shm"
      let script = mounting + " && exec \"$0\" self-test tls=\(tls)"
      let peer = try Peer(
        "--mount", "--propagation", "unchanged", "sh", "-c", script, try Peer.path("messaging-peer"), file: "unshare",
        environment: environment)
      let lanes = peer.line()
      #expect(lanes.contains(tls == "posix,tcp" ? "tcp/" : "sysv/"), "\(environment) \(lanes)")
      #expect(!lanes.contains("posix/"))
      #expect(peer.line().hasPrefix("1."))
    }
  }
}
