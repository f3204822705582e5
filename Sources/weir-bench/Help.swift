// What `--help` prints. It fits a screen.

enum Help {
    static let text = """
        weir-bench: a server and a load for it, to measure what stands between them; the policies by themselves.

        weir-bench origin --listen ADDRESS [options]     serve until SIGINT or SIGTERM, then print counts
          --mode http|tcp       tcp sends back what it gets, or --size bytes for each message (http)
          --size BYTES          of each response's body; a request's ?size=BYTES goes before (128)
          --message BYTES       tcp with --size: so many bytes are one message (128)
          --delay TIME[:SHARE]  hold answers back, such as 20ms, or 2s:1% for one in a hundred
          --name NAME           told in the header x-origin and in the counts

        weir-bench load --target ADDRESS [options]       measure, print, exit (1: nothing was answered)
          --mode http|tcp       requests, or messages and as many bytes back (http)
          --connections N       (64); --threads N (1)
          --duration TIME       (10s); --requests N ends it after so many requests, if they come first
          --rate N              open loop: N requests a second, whatever the answers do; latency counts
                                from when a request was to start. Without it: closed loop
          --fresh               a new connection for each request
          --size BYTES          of a request's body (0: GET), or of a message (128)
          --response BYTES      that each answer must have (http: as its head says; tcp: as sent)
          --mix LIST|FILE       sizes to draw from, SIZE[:WEIGHT],...: of responses, asked for with
                                ?size= (http), or of messages (tcp)
          --path PATH           (/)
          --header 'NAME: VALUE'  may be repeated
          --slow-readers N      so many connections more, that read 10 KiB a second
          --json                print one JSON object
          --hold                say `running` on stderr as requests begin; stay connected until stdin ends

        weir-bench limiter [options]                     measure the rate limiter by itself
          --keys N, --busy N    keys that ask once (10000000); that ask for twice their rate (1000)
          --table N             keys that the table has room for, as `keys` of rate_limit (65536)

        weir-bench choices [options]                     choices a second of each balancing policy, on one core
          --policy NAME         only this one; may be repeated
          --backends N          of the pool; may be repeated (3, 100, 1000 and 10000)
          --duration TIME       of CPU, of each of the five measurements behind a figure (50ms)
          --json                print one JSON object
          --svg FOLDER          instead, draw what each policy does into FOLDER/POLICY.svg

        ADDRESS is HOST:PORT, [IPV6]:PORT or unix:PATH. BYTES may be written 64KiB or 1MiB, TIME 20ms or 5m.
        Example: weir-bench origin --listen 127.0.0.1:9000 &
                 weir-bench load --target 127.0.0.1:9000 --connections 100 --rate 5000 --duration 30s

        """
}
