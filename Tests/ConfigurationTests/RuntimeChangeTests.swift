// What operators change beside the file: made, refused, and what is left of it when another file holds.

import Testing

@testable import Configuration

private let text = """
    listeners:
      web: { bind: 127.0.0.1:80, pool: a }
    pools:
      a:
        backends:
          - { name: one, address: 10.0.0.1:80, weight: 2 }
          - { name: two, address: 10.0.0.2:80 }
      b: { backends: [{ name: two, address: 10.0.0.3:80 }] }
    """

private let one = BackendIdentity(pool: "a", name: "one")
private let two = BackendIdentity(pool: "a", name: "two")

/// The same file with something else in it.
private func file(_ old: String = "", _ new: String = "") throws -> Configuration {
    let parts = text.split(separator: old, omittingEmptySubsequences: false)
    return try read(old.isEmpty ? text : parts.joined(separator: new))
}

private func backend(_ text: String) throws -> Backend {
    try Backend.read(Array(text.utf8), file: "request")
}

private func changes(_ list: RuntimeChange...) throws -> RuntimeChanges {
    var changes = RuntimeChanges()
    for change in list { try changes.make(change, over: file()) }
    return changes
}

/// `name:weight:state` of the pool's backends.
private func inForce(_ changes: RuntimeChanges, _ file: Configuration, pool: Int = 0) -> [String] {
    changes.applied(to: file).pools[pool].backends.map { "\($0.name):\($0.weight):\($0.state.rawValue)" }
}

@Suite struct RuntimeChangeTests {
    @Test func changesHoldOverTheFile() throws {
        let third = try backend("{ name: three, address: 10.0.0.4:80, weight: 3 }")
        let changes = try changes(
            .setState(one, .draining), .setWeight(two, 7), .add(third, pool: "a"),
            .setState(BackendIdentity(pool: "a", name: "three"), .disabled))
        #expect(
            inForce(changes, try file()) == ["one:2:draining", "two:7:enabled", "three:3:disabled"])
        #expect(inForce(changes, try file(), pool: 1) == ["two:1:enabled"])
        #expect(changes.differingKeys(one) == ["state"])
        #expect(changes.differingKeys(two) == ["weight"])
        #expect(changes.differingKeys(BackendIdentity(pool: "a", name: "three")) == ["added"])
        #expect(changes.differingKeys(BackendIdentity(pool: "b", name: "two")).isEmpty)
    }

    @Test func whatIsPutBackIsNoDifference() throws {
        let changes = try changes(
            .setState(one, .draining), .setWeight(one, 5), .setState(one, .enabled), .setWeight(one, 2),
            .remove(two), .add(backend("{ name: two, address: 10.0.0.2:80 }"), pool: "a"))
        #expect(changes.isEmpty)
    }

    @Test func aRemovedBackendMayComeBackAsAnother() throws {
        let other = try backend("{ name: two, address: 10.0.0.9:80 }")
        var changes = try changes(.remove(two), .add(other, pool: "a"))
        #expect(changes.applied(to: try file()).pools[0].backends[1].address == other.address)
        try changes.make(.remove(two), over: file())
        #expect(inForce(changes, try file()) == ["one:2:enabled"])
        #expect(changes.removed(from: "a") == ["two"])
    }

    @Test(arguments: [
        (RuntimeChange.remove(BackendIdentity(pool: "b", name: "two")), "the last backend of pool b"),
        (.setWeight(BackendIdentity(pool: "b", name: "two"), 0), "would have weight 0"),
        (.setState(BackendIdentity(pool: "A", name: "one"), .disabled), "no pool `A`; did you mean `a`?"),
        (
            .setState(BackendIdentity(pool: "a", name: "tow"), .disabled),
            "no backend `tow`; did you mean `two`?"
        ),
    ])
    func whatCannotBeIsRefusedAndChangesNothing(change: RuntimeChange, words: String) throws {
        var changes = RuntimeChanges()
        let error = #expect(throws: RuntimeChangeError.self) { try changes.make(change, over: file()) }
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
        #expect(changes.isEmpty)
    }

    @Test func aNameIsTakenOnce() throws {
        let again = try backend("{ name: one, address: 10.0.0.9:80 }")
        let error = #expect(throws: RuntimeChangeError.self) { try changes(.add(again, pool: "a")) }
        #expect(error?.kind == .conflict)
    }

    @Test func aPoolMayBeLeftOutWhereTheNameSaysWhich() throws {
        #expect(try file().pool(ofBackend: "one") == "a")
        let both = #expect(throws: RuntimeChangeError.self) { try file().pool(ofBackend: "two") }
        #expect(both?.message.contains("2 pools have a backend `two`: a, b") == true)
        let none = #expect(throws: RuntimeChangeError.self) { try file().pool(ofBackend: "onne") }
        #expect(none?.message == "no pool has a backend `onne`; did you mean `one`?")
        #expect(none?.kind == .unknown)
    }

    // MARK: Reload

    @Test func aFileThatSaysTheSameOfABackendLeavesItAsItWasChanged() throws {
        let changes = try changes(
            .setState(one, .draining), .remove(two),
            .add(backend("{ name: three, address: 10.0.0.4:80 }"), pool: "a"))
        let next = try file("web:", "site:")
        let carried = changes.carried(from: try file(), to: next)
        #expect(carried == changes)
        #expect(inForce(carried, next) == ["one:2:draining", "three:1:enabled"])
    }

    @Test func aFileThatSaysSomethingElseOfABackendIsObeyed() throws {
        let changes = try changes(.setState(one, .draining), .setWeight(two, 7))
        let next = try file("weight: 2", "weight: 4")
        let carried = changes.carried(from: try file(), to: next)
        #expect(inForce(carried, next) == ["one:4:enabled", "two:7:enabled"])
    }

    @Test func whatTheFileTakesUpOrDropsIsNoChangeAnyMore() throws {
        let third = try backend("{ name: three, address: 10.0.0.4:80 }")
        let changes = try changes(.add(third, pool: "a"), .setState(two, .disabled))
        let next = try file("name: two, address: 10.0.0.2:80", "name: three, address: 10.0.0.5:80")
        let carried = changes.carried(from: try file(), to: next)
        #expect(carried.isEmpty)
        #expect(inForce(carried, next) == ["one:2:enabled", "three:1:enabled"])
    }

    @Test func noPoolIsLeftWithoutAnybody() throws {
        let changes = try changes(.remove(one))
        let next = try file("      - { name: two, address: 10.0.0.2:80 }\n", "")
        let carried = changes.carried(from: try file(), to: next)
        #expect(inForce(carried, next) == ["one:2:enabled"])
    }

    @Test func theNextProcessIsToldAll() throws {
        let third = try backend("{ name: three, address: 10.0.0.4:80, weight: 3, backup: true }")
        var changes = try changes(
            .setState(one, .draining), .setWeight(one, 9), .add(third, pool: "a"), .remove(two),
            .setState(BackendIdentity(pool: "b", name: "two"), .disabled))
        #expect(RuntimeChanges(changes.words(over: try file()), over: try file()) == changes)
        try changes.make(.add(backend("{ name: two, address: 10.0.0.9:80 }"), pool: "a"), over: file())
        let told = RuntimeChanges(changes.words(over: try file()), over: try file())
        #expect(
            inForce(told, try file()).sorted()
                == ["one:9:draining", "three:3:enabled", "two:1:enabled"])
        let next = try file("weight: 2", "weight: 4")
        let carried = RuntimeChanges(changes.words(over: try file()), over: next)
        #expect(inForce(carried, next).contains("one:4:enabled"))
        #expect(RuntimeChanges([["no", "such", "", ""], ["short"]], over: next).isEmpty)
    }

    // MARK: Text

    @Test func aBackendIsReadAsAFileHasIt() throws {
        let json = try backend(
            #"{"address": "10.0.0.4:80", "weight": 3, "state": "draining", "backup": true}"#)
        #expect(json.name == "10.0.0.4:80")
        #expect((json.weight, json.isBackup, json.state) == (3, true, .draining))
        let error = #expect(throws: ConfigurationErrors.self) {
            try backend(#"{"adress": "10.0.0.4:80", "weight": -1}"#)
        }
        let words = error?.rendered() ?? ""
        #expect(words.contains("did you mean `address`?") && words.contains("request:1:"), "\(words)")
    }
}
