/// What HelpPageTests expects; recorded, not written.
let recordedHelpPages = #"""
  causeway: public URLs for private services, and the relay behind them

  stdout carries the answer, stderr the story; --json gives machines both. Exit codes: 0 done or ended
  by a signal, 1 failure, 2 usage or broken configuration, 69 refused for good, 75 refused for now, 78
  configuration file unreadable.

  Usage: causeway COMMAND ...

  Commands:
    http         a public URL for a local HTTP or WebSocket service
    tcp          a public port for a local TCP service
    start        several tunnels of one file in one session
    authtoken    store the token of a relay
    config       show or change the configuration
    bond         one encrypted link over several paths, WireGuard on the wire
    messaging    what there is for messages between processes
    relay        run the server behind the URLs, or manage its accounts
    bench        measure this machine
    completions  print a completion script for a shell
    version      show the version

  Options:
    -h, --help     Show this page
        --version  Show the version

  Examples:
    causeway relay
        a private relay on this machine: http://127.0.0.1:8080
    causeway http 3000
        a URL for what listens on port 3000

  'causeway COMMAND --help' says more about one of them.

  ====================================================================================================

  causeway http: a public URL for a local HTTP or WebSocket service

  Prints the URL on stdout and keeps it alive, through broken networks and restarts, until Ctrl-C.

  Usage: causeway http [OPTIONS] PORT|HOST:PORT|URL

  Arguments:
    PORT|HOST:PORT|URL  The local service: 3000, box:3000, https://localhost:8443 or
                        unix:/path/to/socket

  Options:
        --subdomain NAME            Ask for NAME.domain instead of a random name
        --host-header rewrite|NAME  The Host field that the service sees: its own address, or NAME
                                    (default: the public one)
    -a, --auth @FILE|USER:PASS      Ask visitors for a password, checked at the relay; better @FILE or
                                    CAUSEWAY_BASIC_AUTH than an argument
        --origin-insecure           Don't verify the certificate of a local https:// service that
                                    isn't on loopback
    -h, --help                      Show this page

  Relay:
        --server URL         The relay to use (default: CAUSEWAY_SERVER, the configuration,
                             http://127.0.0.1:8080)
        --token-file FILE|-  Read the token from a file or from standard input (default:
                             CAUSEWAY_TOKEN, then 'causeway authtoken')
        --ca FILE            Trust the certificate authorities in this PEM file for the relay
    -k, --insecure           Don't verify the relay's certificate: anyone in between can read and
                             change everything, the token included

  Output:
    -q, --quiet              Only the URL, warnings and errors: no panel, no line for each event
        --json               Write JSON lines to stdout
        --log-level LEVEL    How much to log: trace, debug, info, warning or error (default: info)
        --log-format FORMAT  Log as text or json (default: text)
        --log-file FILE      Log to a file (mode 0600, opened anew on SIGHUP) instead of stderr

  Examples:
    causeway http 3000
        a URL for http://localhost:3000
    causeway http 8080 --subdomain demo
        https://demo.DOMAIN, the same every time
    causeway http https://localhost:8443 -a @visitors
        behind a password, to a self-signed service

  ====================================================================================================

  causeway tcp: a public port for a local TCP service

  Prints tcp://DOMAIN:PORT on stdout and keeps it alive until Ctrl-C. Half-closed connections work.

  Usage: causeway tcp [OPTIONS] PORT|HOST:PORT

  Arguments:
    PORT|HOST:PORT  The local service: 22, box:5432 or unix:/path/to/socket

  Options:
        --remote-port PORT  Ask for this public port instead of any free one
    -h, --help              Show this page

  Relay:
        --server URL         The relay to use (default: CAUSEWAY_SERVER, the configuration,
                             http://127.0.0.1:8080)
        --token-file FILE|-  Read the token from a file or from standard input (default:
                             CAUSEWAY_TOKEN, then 'causeway authtoken')
        --ca FILE            Trust the certificate authorities in this PEM file for the relay
    -k, --insecure           Don't verify the relay's certificate: anyone in between can read and
                             change everything, the token included

  Output:
    -q, --quiet              Only the URL, warnings and errors: no panel, no line for each event
        --json               Write JSON lines to stdout
        --log-level LEVEL    How much to log: trace, debug, info, warning or error (default: info)
        --log-format FORMAT  Log as text or json (default: text)
        --log-file FILE      Log to a file (mode 0600, opened anew on SIGHUP) instead of stderr

  Examples:
    causeway tcp 22
        ssh from anywhere: ssh -p PORT user@DOMAIN
    causeway tcp 5432 --remote-port 20432
        the same port every time

  ====================================================================================================

  causeway start: several tunnels of one file in one session

  Reads causeway.yml in this folder, or FILE (a word that ends in .yml or .yaml or has a slash):
  server, log_level and tunnels, each with name, protocol (http or tcp), local_port or local,
  subdomain, hostname, remote_port, auth, host_header. Prints NAME=URL for each.

  Usage: causeway start [OPTIONS] [FILE|NAME]...

  Arguments:
    FILE|NAME  The file, then the tunnels to start (default: all)

  Options:
        --origin-insecure  Don't verify the certificate of a local https:// service that isn't on
                           loopback
    -h, --help             Show this page

  Relay:
        --server URL         The relay to use (default: CAUSEWAY_SERVER, the configuration,
                             http://127.0.0.1:8080)
        --token-file FILE|-  Read the token from a file or from standard input (default:
                             CAUSEWAY_TOKEN, then 'causeway authtoken')
        --ca FILE            Trust the certificate authorities in this PEM file for the relay
    -k, --insecure           Don't verify the relay's certificate: anyone in between can read and
                             change everything, the token included

  Output:
    -q, --quiet              Only the URL, warnings and errors: no panel, no line for each event
        --json               Write JSON lines to stdout
        --log-level LEVEL    How much to log: trace, debug, info, warning or error (default: info)
        --log-format FORMAT  Log as text or json (default: text)
        --log-file FILE      Log to a file (mode 0600, opened anew on SIGHUP) instead of stderr

  Examples:
    causeway start
        everything in causeway.yml
    causeway start site.yml web api
        two of its tunnels

  ====================================================================================================

  causeway authtoken: store the token of a relay

  Asks for the token without showing it, or reads it from standard input, and stores it (mode 0600)
  with the server it belongs to. It is sent to no other.

  Usage: causeway authtoken [OPTIONS] [-]

  Arguments:
    -  Read the token from standard input

  Relay:
        --server URL  The relay to use (default: CAUSEWAY_SERVER, the configuration,
                      http://127.0.0.1:8080)

  Options:
    -h, --help  Show this page

  Examples:
    causeway authtoken
        for the default server
    causeway authtoken - --server https://relay.example.com < token
        for a script

  ====================================================================================================

  causeway config: show or change the configuration

  Without arguments: the file, the server in use and where that comes from, and the servers with a
  stored token (never the tokens). With KEY: its value. With KEY and VALUE: stores it.

  Usage: causeway config [OPTIONS] [KEY] [VALUE]

  Arguments:
    KEY    The setting: server
    VALUE  What to store

  Output:
        --json  Write JSON lines to stdout

  Options:
    -h, --help  Show this page

  Examples:
    causeway config
        what is set, and where
    causeway config server https://relay.example.com
        use this relay from now on

  ====================================================================================================

  causeway bond: one encrypted link over several paths, WireGuard on the wire

  A bond is a network interface whose packets take every path there is: their bandwidth adds up, and a
  path that dies isn't noticed. It speaks WireGuard, so a stock peer works over one path. 'up' needs
  root, or CAP_NET_ADMIN; see docs/bond.md.

  'causeway bond -config FILE.json' is what multipath's users are used to, and the same as 'up
  FILE.json'.

  Usage: causeway bond [OPTIONS]
         causeway bond COMMAND ...

  Commands:
    up        bring a bond up and keep it until Ctrl-C
    down      end a running bond and clean up
    status    show running bonds: peers, paths, rates, losses
    check     explain a configuration in plain words, change nothing
    reload    read a running bond's file anew: peers, paths and scheduler, without dropping the link
    keygen    print a new private key
    pubkey    print the public key of the private key on standard input
    genpsk    print a new pre-shared key, or a 'secret' for multipath's JSON
    simulate  try links and schedulers in virtual time

  Options:
        --config FILE  Bring up multipath's JSON configuration
    -h, --help         Show this page

  Output:
        --log-level LEVEL    How much to log: trace, debug, info, warning or error (default: info)
        --log-format FORMAT  Log as text or json (default: text)
        --log-file FILE      Log to a file (mode 0600, opened anew on SIGHUP) instead of stderr

  Examples:
    causeway bond up wg0
        /etc/causeway/wg0.conf or /etc/wireguard/wg0.conf, until Ctrl-C
    causeway bond status --watch
        what each path does now

  'causeway bond COMMAND --help' says more about one of them.

  ====================================================================================================

  causeway bond up: bring a bond up and keep it until Ctrl-C

  Creates the interface with addresses and routes, and takes everything away at its end; what a kill
  left behind is cleaned up at the next start. The file is WireGuard's (as wg-quick takes it, with
  Path and other keys of ours) or multipath's JSON. SIGHUP reads it anew.

  Usage: causeway bond up [OPTIONS] [FILE|NAME]

  Arguments:
    FILE|NAME  A configuration, or its name in /etc/causeway or /etc/wireguard (default with --name:
               the options)

  Without a file:
        --name NAME                    The interface
        --address ADDRESS[/PREFIX]...  An address of the interface
        --private-key-file FILE|-      The private key, from a file or standard input
        --preshared-key-file FILE      The pre-shared key
        --listen-port PORT             The UDP port (default: any)
        --peer KEY[@HOST:PORT]         The other end's public key, and where it is
        --allowed-ips NETWORKS...      What the other end may use and gets, with commas

  Output:
        --log-level LEVEL    How much to log: trace, debug, info, warning or error (default: info)
        --log-format FORMAT  Log as text or json (default: text)
        --log-file FILE      Log to a file (mode 0600, opened anew on SIGHUP) instead of stderr

  Options:
    -h, --help  Show this page

  Examples:
    causeway bond up ./wg0.conf
        a file here
    causeway bond up --name wg0 --private-key-file key --peer KEY@box:51820 --allowed-ips ::/0
        one path, no file; --address gives it addresses

  ====================================================================================================

  causeway bond down: end a running bond and clean up

  Usage: causeway bond down [OPTIONS] NAME

  Arguments:
    NAME  The bond's interface

  Options:
    -h, --help  Show this page

  ====================================================================================================

  causeway bond status: show running bonds: peers, paths, rates, losses

  Usage: causeway bond status [OPTIONS] [NAME]

  Arguments:
    NAME  The bond's interface (default: all)

  Output:
        --json   Write one JSON object for each bond
    -w, --watch  Redraw every second until Ctrl-C

  Options:
    -h, --help  Show this page

  Examples:
    causeway bond status wg0 --json
        for a script

  ====================================================================================================

  causeway bond check: explain a configuration in plain words, change nothing

  Usage: causeway bond check [OPTIONS] FILE|NAME

  Arguments:
    FILE|NAME  A configuration, or its name

  Options:
    -h, --help  Show this page

  ====================================================================================================

  causeway bond reload: read a running bond's file anew: peers, paths and scheduler, without dropping
  the link

  Usage: causeway bond reload [OPTIONS] NAME

  Arguments:
    NAME  The bond's interface

  Options:
    -h, --help  Show this page

  ====================================================================================================

  causeway bond keygen: print a new private key

  Usage: causeway bond keygen [OPTIONS]

  Options:
    -h, --help  Show this page

  Examples:
    umask 077; causeway bond keygen > key
        into a file of one's own

  ====================================================================================================

  causeway bond pubkey: print the public key of the private key on standard input

  Usage: causeway bond pubkey [OPTIONS]

  Options:
    -h, --help  Show this page

  Examples:
    causeway bond pubkey < key
        for the other end

  ====================================================================================================

  causeway bond genpsk: print a new pre-shared key, or a 'secret' for multipath's JSON

  Usage: causeway bond genpsk [OPTIONS]

  Options:
    -h, --help  Show this page

  ====================================================================================================

  causeway bond simulate: try links and schedulers in virtual time

  Runs a scenario of links, events and flows through the same code that carries real packets, and
  prints goodput, delay and loss for each scheduler. docs/simulate.md has the schema, docs/examples
  some scenarios.

  Usage: causeway bond simulate [OPTIONS] [SCENARIO.yaml]

  Arguments:
    SCENARIO.yaml  The scenario; none with --faults

  Options:
        --sweep N       Run N seeds and show minimum, median and maximum
        --faults N|A-B  Run as many seeded programs of faults instead, or these, and show which broke
                        a promise
    -h, --help          Show this page

  Output:
        --json  Write one JSON object for each scheduler

  ====================================================================================================

  causeway messaging: what there is for messages between processes

  The library, from Swift and from Python, is in docs/messaging.md.

  Usage: causeway messaging COMMAND ...

  Commands:
    info  show the UCX that is used, and what a connection would use

  Options:
    -h, --help  Show this page

  'causeway messaging COMMAND --help' says more about one of them.

  ====================================================================================================

  causeway messaging info: show the UCX that is used, and what a connection would use

  UCX is loaded at run time: the system's, else the libucx wheel's. CAUSEWAY_UCX=system, wheel or the
  folder of libucp.so.0 chooses. Makes a connection within this process to see which transports it
  takes.

  Usage: causeway messaging info [OPTIONS]

  Options:
        --tls LIST  UCX transports to use, with commas: posix,cma or tcp (default: UCX_TLS, else all)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  Examples:
    causeway messaging info
        version, file, transports
    CAUSEWAY_UCX=wheel causeway messaging info --json
        the wheel's, for a script

  ====================================================================================================

  causeway relay: run the server behind the URLs, or manage its accounts

  Without options: a private relay on http://127.0.0.1:8080 with the domain localhost. The first line
  on stdout is its URL. The configuration file has the long names of these options with _ for -, and
  limits; options win over it.

  Managing works beside a running relay (through its admin socket) and without one (in its database).

  Usage: causeway relay [OPTIONS]
         causeway relay COMMAND ...

  Commands:
    account  add, list, disable, enable or remove accounts
    token    create, list or revoke tokens
    name     list or release reserved names

  Options:
        --config FILE            Read settings from a YAML file
        --listen URL...          [http://|https://]ADDR:PORT to accept visitors and clients on; port 0
                                 takes a free one (default: 127.0.0.1:8080)
        --public-url URL         The relay's own URL as clients see it, behind a proxy
        --domain NAME            Tunnels become NAME.domain (default: localhost)
        --data DIR               The folder with relay.db, lock and admin.sock (default:
                                 causeway/relay in the XDG state folder)
        --tcp-ports A-B          Public ports for TCP tunnels (default: 20000-20999)
        --tls-cert FILE          Certificate chain (PEM) of the https listeners
        --tls-key FILE           Its private key (PEM)
        --trusted-proxy CIDR...  Believe X-Forwarded-* fields that come from here
        --metrics ADDR:PORT      Serve Prometheus metrics at http://ADDR:PORT/metrics
    -h, --help                   Show this page

  Output:
        --json               Write JSON lines to stdout
        --log-level LEVEL    How much to log: trace, debug, info, warning or error (default: info)
        --log-format FORMAT  Log as text or json (default: text)
        --log-file FILE      Log to a file (mode 0600, opened anew on SIGHUP) instead of stderr

  Examples:
    causeway relay
        a private relay to try things with
    causeway relay --listen https://0.0.0.0:443 --domain t.example.com --tls-cert c --tls-key k
        a public one: *.t.example.com
    causeway relay account add me@example.com > token
        an account; its token goes to stdout, once

  'causeway relay COMMAND --help' says more about one of them.

  ====================================================================================================

  causeway relay account: add, list, disable, enable or remove accounts

  Usage: causeway relay account COMMAND ...

  Commands:
    add      create an account and print its first token, once
    list     show accounts and what they hold
    disable  end an account's sessions and let it in no more
    enable   let a disabled account in again
    remove   delete an account with its tokens and names

  Options:
    -h, --help  Show this page

  'causeway relay account COMMAND --help' says more about one of them.

  ====================================================================================================

  causeway relay account add: create an account and print its first token, once

  Usage: causeway relay account add [OPTIONS] EMAIL

  Arguments:
    EMAIL  Whose account it will be

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay account list: show accounts and what they hold

  Usage: causeway relay account list [OPTIONS]

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay account disable: end an account's sessions and let it in no more

  Usage: causeway relay account disable [OPTIONS] EMAIL

  Arguments:
    EMAIL  Whose account

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay account enable: let a disabled account in again

  Usage: causeway relay account enable [OPTIONS] EMAIL

  Arguments:
    EMAIL  Whose account

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay account remove: delete an account with its tokens and names

  Usage: causeway relay account remove [OPTIONS] EMAIL

  Arguments:
    EMAIL  Whose account

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay token: create, list or revoke tokens

  Usage: causeway relay token COMMAND ...

  Commands:
    create  add a token to an account and print it, once
    list    show the tokens' ids, never the tokens
    revoke  forbid a token and end its sessions

  Options:
    -h, --help  Show this page

  'causeway relay token COMMAND --help' says more about one of them.

  ====================================================================================================

  causeway relay token create: add a token to an account and print it, once

  Usage: causeway relay token create [OPTIONS] EMAIL

  Arguments:
    EMAIL  Whose account

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay token list: show the tokens' ids, never the tokens

  Usage: causeway relay token list [OPTIONS]

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay token revoke: forbid a token and end its sessions

  Usage: causeway relay token revoke [OPTIONS] ID

  Arguments:
    ID  The token's id as 'relay token list' shows it, or - with the token on standard input

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay name: list or release reserved names

  Usage: causeway relay name COMMAND ...

  Commands:
    list     show names and TCP ports, and who holds them
    release  give a name back

  Options:
    -h, --help  Show this page

  'causeway relay name COMMAND --help' says more about one of them.

  ====================================================================================================

  causeway relay name list: show names and TCP ports, and who holds them

  Usage: causeway relay name list [OPTIONS]

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway relay name release: give a name back

  Usage: causeway relay name release [OPTIONS] NAME

  Arguments:
    NAME  The name without the domain

  Options:
        --data DIR  The folder with relay.db, lock and admin.sock (default: causeway/relay in the XDG
                    state folder)
    -h, --help      Show this page

  Output:
        --json  Write JSON lines to stdout

  ====================================================================================================

  causeway bench: measure this machine

  Usage: causeway bench COMMAND ...

  Commands:
    messaging  measure messages between two processes

  Options:
    -h, --help  Show this page

  'causeway bench COMMAND --help' says more about one of them.

  ====================================================================================================

  causeway bench messaging: measure messages between two processes

  Prints median and p99 of one message (of a round trip for pingpong-flag), rate, bandwidth, and the
  transport that the messages took. Between hosts: --listen there, --peer here.

  Usage: causeway bench messaging [OPTIONS]

  Options:
        --scenario NAME  large-array, small-messages, pingpong-flag, streaming-duplex or all (default:
                         all)
        --api NAME       callback or async (default: async)
        --peer two-process|one-process|ADDR
                         Another process, another engine of this one, or HOST:PORT where --listen runs
                         (default: two-process)
        --listen ADDR    Serve measurements at HOST:PORT until Ctrl-C; port 0 takes a free one
        --key-file FILE  What both sides of --listen and --peer ADDR know, at least 16 bytes
        --tls LIST       UCX transports to use, with commas: posix,cma or tcp (default: UCX_TLS, else
                         all)
        --size BYTES     Bytes of a message (default: the scenario's)
        --iterations N   Measured rounds (default: the scenario's)
        --warmup N       Rounds before them (default: the scenario's)
        --concurrency N  Messages of a round (default: the scenario's)
    -h, --help           Show this page

  Output:
        --json  Write JSON lines to stdout

  Examples:
    causeway bench messaging
        everything, between two processes
    causeway bench messaging --scenario pingpong-flag --tls tcp --api callback
        round trips over TCP
    causeway bench messaging --peer box:4000
        to another host, where --listen 0.0.0.0:4000 runs

  ====================================================================================================

  causeway completions: print a completion script for a shell

  Usage: causeway completions [OPTIONS] SHELL

  Arguments:
    SHELL  bash, zsh or fish

  Options:
    -h, --help  Show this page

  Examples:
    source <(causeway completions bash)
        for this shell; put the line into ~/.bashrc to keep it
    causeway completions zsh > ~/.zfunc/_causeway
        for zsh, where ~/.zfunc is in $fpath
    causeway completions fish > ~/.config/fish/completions/causeway.fish
        for fish

  ====================================================================================================

  causeway version: show the version

  Usage: causeway version [OPTIONS]

  Output:
        --json  Write JSON lines to stdout

  Options:
    -h, --help  Show this page

  """#
