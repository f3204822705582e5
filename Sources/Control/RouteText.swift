// Routes in a line of words, for people: `weir check` and `weir explain` print them.

import Configuration

extension RouteMatch {
    /// What a request must be, as in `host api.example.com, path /v1/*, method GET or POST`.
    var summary: String {
        var parts: [String] = []
        switch host {
        case .exact(let name)?: parts.append("host \(name)")
        case .below(let name)?: parts.append("host *.\(name)")
        case nil: break
        }
        switch path {
        case .exact(let text)?: parts.append("path \(text)")
        case .below(let text)? where !text.isEmpty: parts.append("path \(text)/*")
        case .below?, nil: break
        }
        if !methods.isEmpty { parts.append("method \(methods.joined(separator: " or "))") }
        parts += headers.map { "header \($0.name): \($0.value ?? "any")" }
        parts += query.map { "query \($0.name)=\($0.value ?? "any")" }
        return parts.isEmpty ? "every request" : parts.joined(separator: ", ")
    }
}

extension RouteAction {
    /// What happens to a request, as in `split over api 95%, api_next 5%`.
    var summary: String {
        switch self {
        case .pool(let name): "pool \(name)"
        case .split(let shares):
            "split over "
                + shares.map { "\($0.pool) \(Quantities.shareText($0.share))" }.joined(separator: ", ")
        case .redirect(let redirect): "redirect to \(redirect.location), status \(redirect.status)"
        case .respond(let response): "respond with status \(response.status)"
        }
    }
}

extension HeaderChanges {
    /// One change each, as in `set x-env: prod`.
    var summaries: [String] {
        fieldsSet.map { "set \($0.name): \($0.value)" } + fieldsAdded.map { "add \($0.name): \($0.value)" }
            + namesRemoved.map { "remove \($0)" }
    }
}
