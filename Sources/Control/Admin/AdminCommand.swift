// What the running Weir can be asked to change. The admin thread makes a command out of a request; the control thread
// carries it out (`Sources/Control/Commands.swift`) and answers.

import Configuration
import HTTP1

/// A change that is asked for, with everything that belongs to it.
enum AdminCommand: Sendable {
    /// The configuration's file, or another one where whoever asks may have it read.
    /// `discards`: without what operators changed of backends.
    case reload(file: String?, mayBeAnyFile: Bool, discards: Bool)
    /// To the configuration with that number; nil for the one before.
    case rollback(to: Int?)
    /// The program started anew.
    case upgrade
    /// Something of one backend; nil for the one pool that has it.
    case backend(name: String, pool: String?, BackendOrder)
}

/// How commands are asked for: a method and a path, whose parts in braces are names. docs/openapi.json describes them,
/// and a test compares the two.
enum AdminAction: CaseIterable {
    case reload
    case rollback
    case upgrade
    case addBackend
    case enableBackend
    case disableBackend
    case drainBackend
    case weighBackend
    case removeBackend

    var method: HTTP1.Method { self == .removeBackend ? .delete : .post }

    var path: String {
        switch self {
        case .reload: "/lb/reload"
        case .rollback: "/lb/rollback"
        case .upgrade: "/lb/upgrade"
        case .addBackend: "/lb/backends/add"
        case .enableBackend: "/lb/backends/{name}/enable"
        case .disableBackend: "/lb/backends/{name}/disable"
        case .drainBackend: "/lb/backends/{name}/drain"
        case .weighBackend: "/lb/backends/{name}/weight"
        case .removeBackend: "/lb/backends/{name}/remove"
        }
    }

    /// `names` are what the braces of the path stood for. What is left of the parameters is an error of the caller's.
    func command(
        _ names: [String], _ parameters: inout AdminParameters, from peer: AdminPeer
    ) throws(AdminRefusal) -> AdminCommand {
        switch self {
        case .reload:
            return .reload(
                file: try parameters.text("file"), mayBeAnyFile: peer == .owner,
                discards: try parameters.truth("discard") ?? false)
        case .rollback: return .rollback(to: try parameters.number("to", within: 1...Int.max))
        case .upgrade: return .upgrade
        case .addBackend: return try Self.add(&parameters)
        case .enableBackend: return try .change(names[0], .setState(.enabled), &parameters)
        case .disableBackend: return try .change(names[0], .setState(.disabled), &parameters)
        case .drainBackend: return try .change(names[0], .setState(.draining), &parameters)
        case .removeBackend: return try .change(names[0], .remove, &parameters)
        case .weighBackend:
            guard let weight = try parameters.number("weight", within: 0...65_535) else {
                throw AdminRefusal(400, "`weight` is missing")
            }
            return try .change(names[0], .setWeight(weight), &parameters)
        }
    }

    /// Keys are those of a file, and so are the errors.
    private static func add(_ parameters: inout AdminParameters) throws(AdminRefusal) -> AdminCommand {
        guard let pool = try parameters.text("pool") else { throw AdminRefusal(400, "`pool` is missing") }
        guard let address = try parameters.text("address") else {
            throw AdminRefusal(400, "`address` is missing")
        }
        var members = [JSON.Member("address", .string(address))]
        if let name = try parameters.text("name") { members.append(JSON.Member("name", .string(name))) }
        for key in ["weight", "max_sessions"] {
            guard let number = try parameters.number(key, within: 0...Int.max) else { continue }
            members.append(JSON.Member(key, .integer(number)))
        }
        if let isBackup = try parameters.truth("backup") {
            members.append(JSON.Member("backup", .boolean(isBackup)))
        }
        if let state = try parameters.text("state") { members.append(JSON.Member("state", .string(state))) }
        do throws(ConfigurationErrors) {
            let backend = try Backend.read(Array(JSON.object(members).text().utf8), file: "request")
            return .backend(name: backend.name, pool: pool, .add(backend))
        } catch {
            let wrong = error.errors.map { error in
                error.message + (error.expected.map { "; expected \($0)" } ?? "")
            }
            throw AdminRefusal(400, wrong.joined(separator: "; "))
        }
    }
}

extension AdminCommand {
    /// Of a backend that is there.
    fileprivate static func change(
        _ name: String, _ order: BackendOrder, _ parameters: inout AdminParameters
    ) throws(AdminRefusal) -> AdminCommand {
        .backend(name: name, pool: try parameters.text("pool"), order)
    }
}

extension AdminAction {
    /// What could be meant by a path, with the names in it: at most one for each method.
    static func actions(at path: String) throws(AdminRefusal) -> [(action: AdminAction, names: [String])] {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        var found: [(action: AdminAction, names: [String])] = []
        for action in allCases {
            let wanted = action.path.split(separator: "/", omittingEmptySubsequences: false)
            guard wanted.count == parts.count,
                zip(wanted, parts).allSatisfy({ $0 == $1 || $0.hasPrefix("{") && !$1.isEmpty })
            else { continue }
            var names: [String] = []
            for (wanted, part) in zip(wanted, parts) where wanted.hasPrefix("{") {
                names.append(try AdminParameters.decoded(part))
            }
            found.append((action, names))
        }
        return found
    }

    /// As Allow has it (RFC 9110, section 10.2.1).
    var methodName: String { method == .delete ? "DELETE" : "POST" }
}
