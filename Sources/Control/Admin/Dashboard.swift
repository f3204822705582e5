// The dashboard as it is served: one page, out of the files beside this one.

enum Dashboard {
    /// dashboard.html with the other scripts where it names them.
    static let page = with(
        "/* dashboard-changes.js */", PackageResources.dashboard_changes_js,
        in: with(
            "/* dashboard-log.js */", PackageResources.dashboard_log_js, in: PackageResources.dashboard_html))

    private static func with(_ name: String, _ script: [UInt8], in page: [UInt8]) -> [UInt8] {
        let marker = Array(name.utf8)
        guard let start = page.indices.first(where: { page[$0...].starts(with: marker) }) else {
            preconditionFailure("the page does not name its script")
        }
        return page[..<start] + script + page[(start + marker.count)...]
    }
}
