// What distinguishes two files: by name, after defaults, and what only another process can have.

import Configuration
import Testing

private let running = """
    listeners:
      web: { bind: 127.0.0.1:80, mode: http, pool: a, routes: [{ match: { path: /x }, pool: b }] }
      old: { bind: 127.0.0.1:81, pool: b }
    pools:
      a: { backends: [{ name: one, address: 10.0.0.1:80 }, { name: two, address: 10.0.0.2:80 }] }
      b: { backends: [10.0.0.3:80] }
    """

private func changes(to text: String) throws -> [ConfigurationChange] {
    try read(running).changes(to: read(text))
}

private func change(
    _ kind: ConfigurationChange.Kind, _ subject: ConfigurationChange.Subject, _ details: String...
) -> ConfigurationChange {
    var change = ConfigurationChange(kind: kind, subject: subject)
    change.details = details
    return change
}

@Test func placesInTheFileAndDefaultsWrittenOutAreNoDifference() throws {
    let same = """
        # A comment.
        workers: auto
        pools:
          b: { backends: [10.0.0.3:80] }
          a:
            balance: round_robin
            backends: [{ name: one, address: 10.0.0.1:80, weight: 1 }, { name: two, address: 10.0.0.2:80 }]
        listeners:
          old: { bind: 127.0.0.1:81, pool: b, relay: auto }
          web: { bind: 127.0.0.1:80, mode: http, pool: a, routes: [{ match: { path: /x }, pool: b }] }
        """
    #expect(try changes(to: same).isEmpty)
}

@Test func thingsAreToldApartByTheirNames() throws {
    let next = """
        watch: true
        listeners:
          web: { bind: 127.0.0.1:80, mode: http, pool: a, routes: [{ match: { path: /y }, pool: b }] }
          new: { bind: 127.0.0.1:82, pool: a }
        pools:
          a:
            balance: random
            backends: [{ name: two, address: 10.0.0.2:81, weight: 3 }, { name: three, address: 10.0.0.4:80 }]
          b: { backends: [10.0.0.3:80] }
        """
    let found = try changes(to: next)
    #expect(
        found == [
            change(.changed, .process, "watch: false -> true"),
            change(
                .changed, .listener("web"),
                "routes: [{ match: { path: /x }, pool: b }] -> [{ match: { path: /y }, pool: b }]"),
            change(.removed, .listener("old")), change(.added, .listener("new"), "127.0.0.1:82"),
            change(.changed, .pool("a"), "balance: round_robin -> random"),
            change(.removed, .backend("one", pool: "a")),
            change(
                .changed, .backend("two", pool: "a"), "address: 10.0.0.2:80 -> 10.0.0.2:81",
                "weight: 1 -> 3"),
            change(.added, .backend("three", pool: "a"), "10.0.0.4:80"),
        ])
    #expect(found.map(\.description).contains("backend a/two changed"))
}

@Test func whatMemoryIsSizedByWaitsForARestartAndTheRestIsTaken() throws {
    let text = "workers: 3\nlimits: { sessions: 5 }\nlogs: { format: text, sample: 50% }\n" + running
    let (before, after) = (try read(running), try read(text))
    let found = before.changes(to: after)
    #expect(found.map(\.needsRestart) == [false, true])
    #expect(found[0].details == ["logs.sample: 100% -> 50%"])
    #expect(
        found[1].details == [
            "workers: auto -> 3", "limits.sessions: 16384 -> 5", "logs.format: json -> text",
        ])
    let taken = before.reloading(after)
    #expect(taken.logs.successSampleShare == 0.5)
    #expect(taken.limits == before.limits && taken.workers == before.workers)
    #expect(taken.logs.format == .json)
}
