// What the running Weir can be asked to change. The admin thread makes a command out of a request; the control thread
// carries it out (`Sources/Control/Commands.swift`) and answers.

import HTTP1

/// A change that is asked for, with everything that belongs to it.
enum AdminCommand: Sendable {
    /// The configuration's file, or another one where whoever asks may have it read.
    case reload(file: String?, mayBeAnyFile: Bool)
    /// To the configuration with that number; nil for the one before.
    case rollback(to: Int?)
    /// The program started anew.
    case upgrade
}

/// How commands are asked for: a method and a path, whose parts in braces are names. docs/openapi.json describes them,
/// and a test compares the two.
enum AdminAction: CaseIterable {
    case reload
    case rollback
    case upgrade

    var method: HTTP1.Method { .post }

    var path: String {
        switch self {
        case .reload: "/lb/reload"
        case .rollback: "/lb/rollback"
        case .upgrade: "/lb/upgrade"
        }
    }

    /// `names` are what the braces of the path stood for. What is left of the parameters is an error of the caller's.
    func command(
        _ names: [String], _ parameters: inout AdminParameters, from peer: AdminPeer
    ) throws(AdminRefusal) -> AdminCommand {
        switch self {
        case .reload:
            return .reload(file: try parameters.text("file"), mayBeAnyFile: peer == .owner)
        case .rollback: return .rollback(to: try parameters.number("to", within: 1...Int.max))
        case .upgrade: return .upgrade
        }
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
