package import CausewaySupport

/// Reads a configuration file in either form.
package enum BondReader {
  package static func read(_ file: ConfigurationFile) throws(CommandFailure) -> BondConfiguration {
    do throws(PlacedError) { return file.isJSON ? try MultipathReader.read(file) : try WireGuardReader.read(file) } catch {
      throw CommandFailure(error)
    }
  }

  /// Hooks are a program: they run only when nobody but root or this user can have written them.
  package static func checkHooks(_ bond: BondConfiguration, _ file: ConfigurationFile) throws(CommandFailure) {
    guard !bond.hooks.isEmpty, !file.mayHoldCommands() else { return }
    throw .usage(
      "\(file.path): holds commands (PreUp, PostUp, PreDown, PostDown) but others can write to it, or own it; run: chown root \(file.path); chmod 600 \(file.path)"
    )
  }
}
