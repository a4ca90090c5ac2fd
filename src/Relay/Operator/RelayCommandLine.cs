using System.Text;
using System.Text.Json;
using Marmot.Protocol.Filters;

namespace Marmot.Relay.Operator;

/// <summary>What an operator typed after the word <c>relay</c>.</summary>
internal sealed class RelayCommandLine
{
    public const string Usage = """
        usage: relay COMMAND [--Storage:DataDirectory=DIR] [--config FILE]
          import [FILE] [--verbose] [--any-age] [--any-author] [--any-work]
                                        store events from JSON lines (default, or -: standard input; gzip is seen); each is verified. The relay's
                                        rules hold; --any-* leave one aside: Relay:RetentionDays, Relay:WriteAllowList, Relay:MinProofOfWork
          export [FILE] [--filter JSON] write events as JSON lines, oldest arrival first (default, or -: standard output; FILE.gz is packed)
          stats [--json]                what is stored
          stats --live [--every SECONDS]  what the running relay does, from its admin port
          list [--filter JSON] [--json] id, kind, author, date and size of stored events, newest first (100 unless the filter has a limit)
          delete --filter JSON [--yes] [--all]
                                        count events; with --yes remove them and overwrite their bytes; a filter that selects everything wants --all
          compact [--drop-damaged]      give the space of removed events back; a damaged log is left alone unless --drop-damaged
          sync URL [--dir both|pull|push] [--filter JSON] [--auth-key FILE] [--verbose] [--any-age] [--any-author] [--any-work]
                                        reconcile with another relay (NIP-77); the key answers its AUTH
          migrate                       bring the database of Storage:Postgres to this version's schema
        All but stats --live work on the store: that of Storage:DataDirectory, where a running relay carries the command out
        (but for compact, which wants it stopped), or with --Storage:Postgres=CONNECTION the database, whose relays may be running.
        """;

    private static readonly string[] Commands = ["import", "export", "stats", "list", "delete", "compact", "sync", "migrate"];

    public string Command { get; private init; } = "";

    /// <summary>FILE of import and export; null for the standard streams.</summary>
    public string? File { get; private set; }

    public Filter? Filter { get; private set; }

    public bool Json { get; private set; }

    public bool Live { get; private set; }

    /// <summary>Seconds between two lines of live numbers; 0 for one line.</summary>
    public int Every { get; private set; }

    /// <summary>The other relay of sync.</summary>
    public Uri? Url { get; private set; }

    public SyncDirection Direction { get; private set; }

    public string? AuthKeyFile { get; private set; }

    /// <summary>Each refusal is told, not only counted.</summary>
    public bool Verbose { get; private set; }

    /// <summary>Rules that import and sync leave aside.</summary>
    public ImportWaivers Waivers { get; private set; }

    /// <summary>delete may remove everything.</summary>
    public bool All { get; private set; }

    /// <summary>delete removes; without it only counts.</summary>
    public bool Yes { get; private set; }

    /// <summary>compact goes on without the records that cannot be read.</summary>
    public bool DropDamaged { get; private set; }

    /// <summary>True for what a relay can do on its own store while it runs.</summary>
    public bool RunsOnRunningRelay => Command is "import" or "export" or "stats" or "list" or "delete" or "sync";

    /// <summary>Settings and <c>--config</c>, for the configuration.</summary>
    public List<string> Settings { get; } = [];

    /// <summary>Null with a sentence when it makes no sense.</summary>
    public static RelayCommandLine? TryRead(string[] args, out string mistake)
    {
        mistake = "a command is missing";
        if (args.Length == 0)
        {
            return null;
        }

        var line = new RelayCommandLine { Command = args[0] };
        mistake = Commands.Contains(args[0]) ? "" : $"unknown command '{args[0]}'";
        for (var i = 1; i < args.Length && mistake.Length == 0; i++)
        {
            mistake = line.Take(args, ref i);
        }

        if (mistake.Length == 0)
        {
            mistake = line.Command switch
            {
                "delete" when line.Filter is null => "delete needs --filter",
                "delete" when !line.All && EventDeletion.SelectsEverything(line.Filter) =>
                    "this filter selects every event of the relay; delete --all with it removes them",
                "sync" when line.Url is null => "sync needs the URL of a relay, ws:// or wss://",
                _ => "",
            };
        }

        return mistake.Length == 0 ? line : null;
    }

    // Takes one argument and its value; the mistake, or empty.
    private string Take(string[] args, ref int i)
    {
        var value = i + 1 < args.Length ? args[i + 1] : null;
        switch (args[i])
        {
            case "--config" when value is not null:
                Settings.AddRange(["--config", value]);
                break;
            case "--filter" when value is not null && Command is "export" or "list" or "delete" or "sync":
                Filter = ReadFilter(value!);
                if (Filter is null)
                {
                    return "--filter is not a filter of NIP-01 in JSON";
                }

                break;
            case "--every" when Command == "stats" && int.TryParse(value, out var seconds) && seconds > 0:
                Every = seconds;
                break;
            case "--dir" when Command == "sync" && Enum.TryParse<SyncDirection>(value, ignoreCase: true, out var direction) && Enum.IsDefined(direction):
                Direction = direction;
                break;
            case "--auth-key" when Command == "sync" && value is not null:
                AuthKeyFile = value;
                break;
            case "--verbose" when Command is "import" or "sync":
                Verbose = true;
                return "";
            case "--any-age" when Command is "import" or "sync":
                Waivers |= ImportWaivers.Age;
                return "";
            case "--any-author" when Command is "import" or "sync":
                Waivers |= ImportWaivers.Author;
                return "";
            case "--any-work" when Command is "import" or "sync":
                Waivers |= ImportWaivers.Work;
                return "";
            case "--all" when Command == "delete":
                All = true;
                return "";
            case "--drop-damaged" when Command == "compact":
                DropDamaged = true;
                return "";
            case "--yes" when Command == "delete":
                Yes = true;
                return "";
            case "--json" when Command is "stats" or "list":
                Json = true;
                return "";
            case "--live" when Command == "stats":
                Live = true;
                return "";
            case var setting when setting.StartsWith("--", StringComparison.Ordinal) && setting.Contains('=', StringComparison.Ordinal):
                Settings.Add(setting);
                return "";
            case "-" when Command is "import" or "export" && File is null:
                return "";
            case var file when !file.StartsWith('-') && Command is "import" or "export" && File is null:
                File = args[i];
                return "";
            case var url when Command == "sync" && Url is null && Uri.TryCreate(url, UriKind.Absolute, out var uri) && uri.Scheme is "ws" or "wss":
                Url = new Uri(args[i]);
                return "";
            default:
                return $"{Command} does not take '{args[i]}'";
        }

        i++;
        return "";
    }

    private static Filter? ReadFilter(string json)
    {
        try
        {
            var bytes = Encoding.UTF8.GetBytes(json);
            using var whole = JsonDocument.Parse(bytes);
            var reader = new Utf8JsonReader(bytes);
            return Filter.TryRead(ref reader, out var filter, out _) ? filter : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
