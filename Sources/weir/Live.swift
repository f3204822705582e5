// What commands that talk to a running Weir have in common: where it is, and what its answers to commands come to.

import Configuration
import Control
import LogReading

struct Live {
    private let file: String?
    private let address: String?

    /// Takes the options `Commands.runningConfiguration` and `Commands.adminAddress`.
    init(_ arguments: Arguments) throws(Failure) {
        file = try arguments.value("-c", "--config")
        address = try arguments.value("--admin")
    }

    /// Call it when all arguments are known to be right.
    func client() throws(Failure) -> AdminClient {
        try AdminClient(address: address, configurationFile: file)
    }

    /// The body of what is only looked at; what was wrong with the question is the failure.
    static func answer(_ client: AdminClient, _ path: String) throws(Failure) -> [UInt8] {
        let (status, body) = try client.look(path)
        if status == 200 { return body }
        guard [400, 404, 503].contains(status), let members = JSONObject.members(of: body) else {
            throw client.unexpected(status, body)
        }
        throw Failure(JSONFields(members).text("error"))
    }

    /// Prints an answer: as it came, or what `text` makes of its members.
    static func show(_ body: [UInt8], asJSON: Bool, _ text: (JSONFields) -> String) throws(Failure) {
        if asJSON {
            standardOutput(String(decoding: body, as: UTF8.self))
            return
        }
        guard let members = JSONObject.members(of: body) else {
            throw Failure("what answers is not what Weir answers")
        }
        standardOutput(text(JSONFields(members)))
    }

    /// The members of the answer to a command that was carried out; what it was refused for is the failure.
    static func order(
        _ client: AdminClient, _ method: String, _ path: String, _ parameters: [(name: String, value: JSON)]
    ) throws(Failure) -> JSONFields {
        let (status, body) = try client.command(method, path, parameters)
        guard let members = JSONObject.members(of: body) else { throw client.unexpected(status, body) }
        let fields = JSONFields(members)
        switch status {
        case 200: return fields
        case 202:
            throw Failure("it takes long, and goes on; `weir history` and the event log tell how it ends")
        // The errors of a file name their places themselves.
        case 422: throw Failure(fields.text("error"), namesItsPlace: fields.isTrue("names_its_place"))
        case 400, 404, 409, 503: throw Failure(fields.text("error"))
        default: throw client.unexpected(status, body)
        }
    }
}
