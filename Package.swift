// swift-tools-version: 6.2
import PackageDescription

/// What every target is built with: warnings are errors, and small functions are specialised across
/// module borders, so that the data plane pays no call for living in several modules.
let common: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

/// Pure modules also keep strict memory safety: every unsafe construct in them is marked `unsafe`.
let pure: [SwiftSetting] = common + [.strictMemorySafety()]

/// libFuzzer brings a `main` of its own: these are there for `make fuzz` only.
let fuzzTargets: [Target] =
    Context.environment["WEIR_FUZZ"] == nil
    ? []
    : [
        .executableTarget(
            name: "fuzz-configuration", dependencies: ["Configuration"],
            swiftSettings: common + [.unsafeFlags(["-parse-as-library"])]),
        .executableTarget(
            name: "fuzz-http1", dependencies: ["HTTP1Oracle"],
            swiftSettings: common + [.unsafeFlags(["-parse-as-library"])]),
    ]

let measuringTargets: [Target] =
    Context.environment["WEIR_MEASURE"] == nil
    ? []
    : [
        .executableTarget(
            name: "measure-routing", dependencies: ["HTTP1", "Routing"], swiftSettings: common),
        .executableTarget(
            name: "measure-probing", dependencies: ["Base", "EmulatedKernel", "Probing", "Ring"],
            swiftSettings: common),
    ]

let package = Package(
    name: "weir",
    products: [.executable(name: "weir", targets: ["weir"])],
    targets: [
        .systemLibrary(
            name: "CLiburing", path: "CLiburing", pkgConfig: "liburing",
            providers: [.apt(["liburing-dev"])]),
        .systemLibrary(
            name: "CLibyaml", path: "Sources/CLibyaml", pkgConfig: "yaml-0.1",
            providers: [.apt(["libyaml-dev"])]),

        .systemLibrary(
            name: "CXxhash", path: "Sources/CXxhash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CLinux", path: "Sources/CLinux"),

        .target(name: "Base", swiftSettings: common),
        .target(name: "Balancing", dependencies: ["Base"], swiftSettings: pure),
        .target(name: "Health", dependencies: ["Balancing", "Base"], swiftSettings: pure),
        .target(name: "HTTP1", swiftSettings: pure),
        .target(name: "Limiting", dependencies: ["Base"], swiftSettings: pure),
        .target(name: "Configuration", dependencies: ["Base", "CLibyaml"], swiftSettings: common),
        .target(name: "Routing", dependencies: ["CXxhash", "HTTP1"], swiftSettings: common),
        .target(name: "Ring", dependencies: ["CLiburing", "Base"], swiftSettings: common),
        .target(name: "EmulatedKernel", dependencies: ["Ring", "Base"], swiftSettings: common),
        .target(name: "SimulatedKernel", dependencies: ["Ring", "Base"], swiftSettings: common),
        .target(name: "Telemetry", dependencies: ["Base"], swiftSettings: common),
        // Short exchanges with servers, off the workers' threads: what health checks are made of.
        .target(
            name: "Probing", dependencies: ["Base", "CLiburing", "HTTP1", "Ring"], swiftSettings: common),
        .target(name: "LogReading", dependencies: ["Configuration"], swiftSettings: pure),
        .target(
            name: "Dataplane",
            dependencies: [
                "Base", "Balancing", "Configuration", "Health", "HTTP1", "Limiting", "Ring", "Routing",
                "Telemetry",
            ],
            swiftSettings: common),
        .target(
            name: "Control",
            dependencies: [
                "Balancing", "Base", "CLinux", "Configuration", "Health", "HTTP1", "LogReading", "Routing",
                "Telemetry", "Dataplane", "Probing", "Ring", "EmulatedKernel",
            ],
            resources: [
                .embedInCode("Admin/dashboard.html"), .embedInCode("Admin/dashboard-log.js"),
                .embedInCode("Admin/dashboard-changes.js"),
            ],
            swiftSettings: common),
        .target(
            name: "Simulation",
            dependencies: [
                "Base", "Balancing", "Configuration", "Health", "Ring", "Telemetry", "Dataplane",
                "SimulatedKernel",
            ],
            swiftSettings: common),
        .executableTarget(
            name: "simulate", dependencies: ["Base", "Simulation", "SimulatedKernel", "CLinux"],
            swiftSettings: common),
        .executableTarget(
            name: "weir", dependencies: ["Control", "LogReading"], swiftSettings: common),
        // The load generator. It shares the ring and the HTTP parser with what it measures, and no more of the
        // data plane; beside it, what measures the policies by themselves.
        .target(
            name: "Bench",
            dependencies: ["Balancing", "Base", "HTTP1", "Limiting", "Ring", "EmulatedKernel", "CLinux"],
            swiftSettings: common),
        .executableTarget(
            name: "weir-bench", dependencies: ["Balancing", "Bench"], swiftSettings: common),

        // What tests of several modules need: threads, seeded random numbers.
        .target(
            name: "TestSupport", dependencies: ["Base"], path: "Tests/TestSupport", swiftSettings: common),
        .testTarget(name: "BenchTests", dependencies: ["Balancing", "Bench", "Base"], swiftSettings: common),
        .testTarget(name: "BaseTests", dependencies: ["Base"], swiftSettings: common),
        .testTarget(
            name: "BalancingTests", dependencies: ["Balancing", "Base", "TestSupport"], swiftSettings: common),
        .testTarget(
            name: "HealthTests", dependencies: ["Health", "Balancing", "Base", "TestSupport"],
            swiftSettings: common),
        .testTarget(
            name: "LimitingTests", dependencies: ["Limiting", "Base", "TestSupport"], swiftSettings: common),
        // A second, slow reading of HTTP/1.1 that the fast one is compared with, by tests and fuzzer.
        .target(
            name: "HTTP1Oracle", dependencies: ["HTTP1"], path: "Tests/HTTP1Oracle", swiftSettings: common),
        .testTarget(name: "HTTP1Tests", dependencies: ["HTTP1", "HTTP1Oracle"], swiftSettings: common),
        .testTarget(
            name: "ProbingTests",
            dependencies: ["Base", "CLinux", "EmulatedKernel", "Probing", "Ring", "SimulatedKernel"],
            swiftSettings: common),
        .testTarget(
            name: "TelemetryTests", dependencies: ["Telemetry", "Base", "TestSupport"], swiftSettings: common),
        .testTarget(name: "ControlTests", dependencies: ["Control", "Telemetry"], swiftSettings: common),
        .testTarget(
            name: "LogReadingTests", dependencies: ["LogReading", "TestSupport"], swiftSettings: common),
        .testTarget(
            name: "ConfigurationTests", dependencies: ["Configuration"], swiftSettings: common),
        .testTarget(
            name: "DataplaneTests", dependencies: ["Dataplane", "Configuration", "Routing"],
            swiftSettings: common),
        .testTarget(
            name: "RoutingTests", dependencies: ["Routing", "HTTP1", "Base", "TestSupport"],
            swiftSettings: common),
        .testTarget(
            name: "RingTests", dependencies: ["Ring", "EmulatedKernel", "Base", "CLinux"],
            swiftSettings: common),
    ] + fuzzTargets + measuringTargets,
    swiftLanguageModes: [.v6]
)
