// Environment variables in values.

import Configuration
import Testing

private func accessPath(_ value: String, _ environment: [String: String]) throws -> LogDestination {
    try read(file(top: "logs: { access: \"\(value)\" }"), environment: environment).logs.access
}

@Test func variablesArePutIn() throws {
    #expect(try accessPath("/a/${X}/${Y}", ["X": "x", "Y": "y"]) == .file(path: "/a/x/y"))
    #expect(try accessPath("${X}", ["X": "stdout"]) == .standardOutput)
    #expect(try accessPath("${X:-/d:-e}", [:]) == .file(path: "/d:-e"))
    #expect(try accessPath("${X:-/d}", ["X": ""]) == .file(path: "/d"))
    #expect(try accessPath("/a${X:-}", [:]) == .file(path: "/a"))
    #expect(try accessPath("/a${X}", ["X": ""]) == .file(path: "/a"))
    #expect(try accessPath("/$${X}", [:]) == .file(path: "/${X}"))
    #expect(try accessPath("/$X/$", [:]) == .file(path: "/$X/$"))
    #expect(try accessPath("/${X}", ["X": "${Y}"]) == .file(path: "/${Y}"), "put in once, not again")
}

@Test func numbersMayComeFromVariablesInQuotes() throws {
    let text = file(top: "limits: { sessions: \"${N}\" }\nworkers: ${W:-auto}")
    let configuration = try read(text, environment: ["N": "5"])
    #expect(configuration.limits.sessions == 5)
    #expect(configuration.workers == .automatic)
}

@Test func variableThatIsNotSet() {
    #expect(
        errors(in: file(listener: "timeouts: { idle: \"${A:-1}${IDLE}\" }")) == """
            weir.yaml:6:31: error: the environment variable `IDLE` is not set
              6 |     timeouts: { idle: "${A:-1}${IDLE}" }
                |                               ^~~~~~~
              set it, or give a default: `${IDLE:-default}`
            """)
}

@Test func malformedVariables() {
    for text in ["${}", "${1}", "${A B}", "${A:b}", "${A", "${:-b}", "${A-b}"] {
        #expect(messages(in: file(top: "engine: '\(text)'")) == ["1:10 `\(text)` is not a variable"])
    }
}

@Test func valueOfAVariableIsCheckedLikeAnyOther() {
    #expect(messages(in: file(top: "workers: ${W}"), environment: ["W": "0"]) == ["1:10 `0` is out of range"])
    #expect(
        messages(in: file(top: "workers: ${W}"), environment: ["W": ""]) == ["1:10 `` is not a whole number"])
}

@Test func keysAreTakenAsTheyAre() {
    #expect(
        messages(in: file(top: "${W}: 1"), environment: ["W": "workers"]) == [
            "1:1 unknown key `${W}` in the file"
        ])
}
