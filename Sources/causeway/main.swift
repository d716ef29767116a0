// The executable: finds the command and runs its handler. One file in Commands/ for each command, no logic here.
internal import CausewayBond
internal import CausewaySupport
internal import Glibc

let arguments = CommandLine.arguments
if arguments.count >= 3, arguments[1] == "bond", arguments[2] == "worker" { exit(BondWorker.run(parent: getppid())) }
exit(Dispatcher.run(arguments).rawValue)
