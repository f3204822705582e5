// What operators want of backends, and what becomes of sessions of removed ones: what is read, what is written back, and
// what goes wrong.

import Configuration
import Testing

@Test(arguments: OperatedState.allCases) func aBackendHasAState(state: OperatedState) throws {
    var configuration = try read(file())
    #expect(configuration.pools[0].backends[0].state == .enabled)
    configuration.pools[0].backends[0].state = state
    let rendered = configuration.rendered()
    #expect(rendered.contains("state:") == (state != .enabled))
    #expect(try read(rendered).pools[0].backends[0].state == state)
}

@Test(arguments: [
    ("on_remove: keep", RemovalPolicy.keep, UInt64(3_600_000_000_000)),
    ("on_remove: close", .close, 3_600_000_000_000),
    ("drain_timeout: 90s", .drain, 90_000_000_000),
    ("on_remove: drain\n    drain_timeout: 5m", .drain, 300_000_000_000),
])
func aPoolSaysWhatBecomesOfSessionsOfRemovedBackends(
    keys: String, policy: RemovalPolicy, nanoseconds: UInt64
) throws {
    let configuration = try read(file(pool: keys))
    #expect(configuration.pools[0].onRemove == policy)
    #expect(configuration.pools[0].drainNanoseconds == nanoseconds)
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
    #expect(configuration.rendered().contains("drain_timeout") == (policy == .drain))
}

@Test(arguments: [
    ("on_remove: drian", "unknown way to remove `drian`", "did you mean `drain`?"),
    (
        "on_remove: keep\n    drain_timeout: 1s", "`drain_timeout` has no meaning with `on_remove: keep`",
        "11:5"
    ),
    ("drain_timeout: 0s", "`0s` is out of range", "weir.yaml"),
])
func wrongWaysToRemoveAreNamed(keys: String, message: String, more: String) throws {
    let errors = #expect(throws: ConfigurationErrors.self) { try read(file(pool: keys)) }
    let words = errors?.rendered() ?? ""
    #expect(words.contains(message) && words.contains(more), "\(words)")
}

@Test func aWrongStateIsNamed() throws {
    let errors = #expect(throws: ConfigurationErrors.self) {
        try read(file(backends: "[{ address: \"10.0.0.1:80\", state: drained }]"))
    }
    #expect(errors?.rendered().contains("unknown state `drained`") == true, "\(errors?.rendered() ?? "")")
}
