// When requests are sent again: what is read, what is written back, and what goes wrong.

import Configuration
import Testing

private func listener(_ keys: String) -> String { file(listener: "mode: http\n    \(keys)") }

@Test func retriesAreReadAndWritten() throws {
    let text =
        "retry: { attempts: 3, on: [reset, timeout, 503, \"429\"], non_idempotent: true, budget: 10%, per_try: 2s, hedge: true }"
    let configuration = try read(listener(text))
    let retry = try #require(configuration.listeners[0].retry)
    #expect(retry.attempts == 3 && retry.includesNonIdempotent && retry.budgetShare == 0.1)
    #expect(retry.on == [.reset, .timeout, .status(503), .status(429)])
    #expect(retry.perTryNanoseconds == 2_000_000_000 && retry.hedges)
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
}

@Test func aRouteMayHaveRetriesOfItsOwn() throws {
    let route = "routes:\n      - { match: { path: /x }, pool: site, retry: { attempts: 0, on: connect } }"
    let configuration = try read(listener(route))
    #expect(configuration.listeners[0].retry == nil)
    #expect(configuration.listeners[0].routes[0].retry?.attempts == 0)
    #expect(configuration.listeners[0].routes[0].retry?.on == [.connect])
    #expect(try read(configuration.rendered()).withoutPositions == configuration.withoutPositions)
}

@Test(
    arguments: [
        ("retry: { on: [conect] }", "`conect` is nothing to retry on"),
        ("retry: { on: [200] }", "`200` is nothing to retry on"),
        ("retry: { on: [] }", "the list is empty"),
        ("retry: { attempts: 11 }", "`11` is out of range"),
        ("retry: { budget: 120% }", "`120%` is more than the whole"),
        ("retry: { per_try: 2 }", "`2`"),
        ("retry: { hedge: p95 }", "`p95`"),
    ])
func wrongRetries(keys: String, message: String) {
    #expect(errors(in: listener(keys)).contains(message))
}
