// The dashboard as it is served: one page, out of the files beside this one.

enum Dashboard {
    /// dashboard.html with the other script where it names it.
    static let page: [UInt8] = {
        let marker = Array("/* dashboard-log.js */".utf8)
        let page = PackageResources.dashboard_html
        guard let start = page.indices.first(where: { page[$0...].starts(with: marker) }) else {
            preconditionFailure("the page does not name its script")
        }
        return page[..<start] + PackageResources.dashboard_log_js + page[(start + marker.count)...]
    }()
}
