internal import CausewaySupport

/// What a command does with its parsed arguments. It returns the verdict or throws it with its one line.
typealias CommandHandler = @Sendable (ParsedArguments) throws(CommandFailure) -> ExitCode

enum Dispatcher {
  /// By the names below the program. Every command of `Program.table` that runs has its line here, its function in Commands/.
  static let handlers: [[String]: CommandHandler] = [
    ["http"]: runTunnels,
    ["tcp"]: runTunnels,
    ["start"]: runTunnels,
    ["authtoken"]: runAuthtoken,
    ["config"]: runConfig,
    ["bond"]: runBond,
    ["bond", "up"]: runBondUp,
    ["bond", "down"]: runBondDown,
    ["bond", "status"]: runBondStatus,
    ["bond", "check"]: runBondCheck,
    ["bond", "reload"]: runBondReload,
    ["bond", "keygen"]: runKeygen,
    ["bond", "pubkey"]: runPubkey,
    ["bond", "genpsk"]: runGenpsk,
    ["bond", "simulate"]: bondSimulate,
    ["messaging", "info"]: runMessagingInfo,
    ["bench", "messaging"]: runBenchMessaging,
    ["relay"]: runRelay,
    ["relay", "account", "add"]: runAdmin,
    ["relay", "account", "list"]: runAdmin,
    ["relay", "account", "disable"]: runAdmin,
    ["relay", "account", "enable"]: runAdmin,
    ["relay", "account", "remove"]: runAdmin,
    ["relay", "token", "create"]: runAdmin,
    ["relay", "token", "list"]: runAdmin,
    ["relay", "token", "revoke"]: runAdmin,
    ["relay", "name", "list"]: runAdmin,
    ["relay", "name", "release"]: runAdmin,
    ["completions"]: runCompletions,
    ["version"]: runVersion,
  ]

  static func run(_ arguments: [String]) -> ExitCode {
    if Array(arguments.dropFirst()) == Program.bondWorkerPath { return runBondWorker() }
    if Array(arguments.dropFirst()) == Program.benchPeerPath { return runBenchPeer() }
    let parsed: ParsedArguments
    do throws(ArgumentError) {
      switch try ArgumentParser(Program.table).parse(arguments) {
      case .help(let commands):
        StandardStreams.answer(HelpPage.text(for: commands))
        return .ok
      case .version:
        StandardStreams.answer("causeway \(Version.number)\n")
        return .ok
      case .run(let found): parsed = found
      }
    } catch {
      StandardStreams.complain(error.description)
      return .usage
    }
    guard let handler = handlers[parsed.path] else {
      StandardStreams.complain("'\(parsed.path.joined(separator: " "))' isn't part of this build")
      return .failure
    }
    do throws(CommandFailure) { return try handler(parsed) } catch {
      StandardStreams.complain(error.message)
      return error.exitCode
    }
  }
}
