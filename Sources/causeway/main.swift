// The executable: finds the command and runs its handler. One file in Commands/ for each command, no logic here.
internal import CausewaySupport
internal import Glibc

let arguments = CommandLine.arguments
exit(Dispatcher.run(arguments).rawValue)
