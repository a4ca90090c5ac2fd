using System.CommandLine;
using System.CommandLine.Parsing;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Filters;
using Marmot.Terminal;

namespace Marmot.Relay.Operator;

/// <summary>What an operator typed after the word <c>relay</c>.</summary>
internal sealed class RelayCommandLine
{
    private const string AuthKey = "--auth-key";

    private static readonly Argument<string?> InputFile = Define.OptionalWord("FILE", "JSON lines, gzip is seen (default, or -: standard input)");
    private static readonly Argument<string?> OutputFile = Define.OptionalWord("FILE", "FILE.gz is packed (default, or -: standard output)");
    private static readonly Option<Filter?> FilterOption = Define.Parsed("--filter", "JSON", "only the events of this filter (NIP-01)", ReadFilter);
    private static readonly Option<bool> VerboseFlag = Define.Flag("--verbose", "tell each refusal, not only their number");
    private static readonly Option<bool> AnyAge = Define.Flag("--any-age", "leave Relay:RetentionDays aside");
    private static readonly Option<bool> AnyAuthor = Define.Flag("--any-author", "leave Relay:WriteAllowList aside");
    private static readonly Option<bool> AnyWork = Define.Flag("--any-work", "leave Relay:MinProofOfWork aside");
    private static readonly Option<bool> JsonFlag = Define.Flag("--json", "as one JSON object");
    private static readonly Option<bool> LiveFlag = Define.Flag("--live", "what the running relay does, from its admin port");
    private static readonly Option<int> EveryOption = Define.Number("--every", "SECONDS", "with --live: a line every so many seconds", 1, int.MaxValue, 0);
    private static readonly Option<bool> AllFlag = Define.Flag("--all", "for a filter that selects every event");
    private static readonly Option<bool> YesFlag = Define.Flag("--yes", "remove them; without it they are only counted");
    private static readonly Option<bool> DropDamagedFlag = Define.Flag("--drop-damaged", "go on without the records that cannot be read");
    private static readonly Argument<Uri> UrlWord = Define.ParsedWord("URL", "the other relay, ws:// or wss://", ReadUrl);
    private static readonly Option<string> Dir = Define.Choice("--dir", "fetch, publish, or both", "both", "pull", "push");
    private static readonly Option<string?> AuthKeyOption = Define.Text(AuthKey, "FILE", "secret key that answers the other relay's AUTH");

    // For the relay that carries out what another process read; never invoked.
    private static readonly RootCommand Reader = CreateReader();

    public string Command { get; private init; } = "";

    /// <summary>FILE of import and export; null for the standard streams.</summary>
    public string? File { get; private init; }

    public Filter? Filter { get; private init; }

    public bool Json { get; private init; }

    public bool Live { get; private init; }

    /// <summary>Seconds between two lines of live numbers; 0 for one line.</summary>
    public int Every { get; private init; }

    /// <summary>The other relay of sync.</summary>
    public Uri? Url { get; private init; }

    public SyncDirection Direction { get; private init; }

    public string? AuthKeyFile { get; private init; }

    /// <summary>Each refusal is told, not only counted.</summary>
    public bool Verbose { get; private init; }

    /// <summary>Rules that import and sync leave aside.</summary>
    public ImportWaivers Waivers { get; private init; }

    /// <summary>delete may remove everything.</summary>
    public bool All { get; private init; }

    /// <summary>delete removes; without it only counts.</summary>
    public bool Yes { get; private init; }

    /// <summary>compact goes on without the records that cannot be read.</summary>
    public bool DropDamaged { get; private init; }

    /// <summary>True for what a relay can do on its own store while it runs.</summary>
    public bool RunsOnRunningRelay => Command is "import" or "export" or "stats" or "list" or "delete" or "sync";

    /// <summary>Settings and <c>--config</c>, for the configuration.</summary>
    public IReadOnlyList<string> Settings { get; private init; } = [];

    /// <summary>The command and its words without the settings, for a running relay, which has its own and stands in another directory.</summary>
    public string[] Words { get; private init; } = [];

    /// <summary>The commands, each with its own words; <paramref name="run"/> gets what was typed and returns the exit code.</summary>
    public static IEnumerable<Command> CreateCommands(Func<RelayCommandLine, Task<int>> run)
    {
        var delete = new Command("delete", "count events, and with --yes remove them and overwrite their bytes") { FilterOption, YesFlag, AllFlag };
        delete.Validators.Add(CheckSelection);
        Command[] commands =
        [
            new("import", "store events from JSON lines, each verified, by the relay's rules") { InputFile, VerboseFlag, AnyAge, AnyAuthor, AnyWork },
            new("export", "write events as JSON lines, oldest arrival first") { OutputFile, FilterOption },
            new("stats", "what is stored, or what the running relay does") { JsonFlag, LiveFlag, EveryOption },
            new("list", "id, kind, author, date and size of stored events, newest first (100 unless the filter has a limit)") { FilterOption, JsonFlag },
            delete,
            new("compact", "give the space of removed events back; the relay must be stopped") { DropDamagedFlag },
            new("sync", "reconcile with another relay (NIP-77)") { UrlWord, Dir, FilterOption, AuthKeyOption, VerboseFlag, AnyAge, AnyAuthor, AnyWork },
            new("migrate", "bring the database of Storage:Postgres to this version's schema"),
        ];
        foreach (var command in commands)
        {
            command.SetAction((words, _) => run(From(words)));
        }

        return commands;
    }

    /// <summary>Null with a sentence when it makes no sense.</summary>
    public static RelayCommandLine? TryRead(string[] args, out string mistake)
    {
        var words = ConsoleProgram.Parse(Reader, args, out var mistakes);
        mistake = args.Length > 0 ? string.Join("; ", mistakes) : "a command is missing";
        return mistake.Length == 0 ? From(words) : null;
    }

    private static RelayCommandLine From(ParseResult words) => new()
    {
        Command = words.CommandResult.Command.Name,
        File = (words.GetResult(InputFile) is null ? words.GetValue(OutputFile) : words.GetValue(InputFile)) is { } file && file != "-" ? file : null,
        Filter = words.GetValue(FilterOption),
        Json = words.GetValue(JsonFlag),
        Live = words.GetValue(LiveFlag),
        Every = words.GetValue(EveryOption),
        Url = words.GetValue(UrlWord),
        Direction = Enum.Parse<SyncDirection>(words.GetValue(Dir) ?? nameof(SyncDirection.Both), ignoreCase: true),
        AuthKeyFile = words.GetValue(AuthKeyOption),
        Verbose = words.GetValue(VerboseFlag),
        Waivers = (words.GetValue(AnyAge) ? ImportWaivers.Age : 0)
            | (words.GetValue(AnyAuthor) ? ImportWaivers.Author : 0)
            | (words.GetValue(AnyWork) ? ImportWaivers.Work : 0),
        All = words.GetValue(AllFlag),
        Yes = words.GetValue(YesFlag),
        DropDamaged = words.GetValue(DropDamagedFlag),
        Settings = SettingWords.From(words),
        Words = [words.CommandResult.Command.Name,
            .. WithFullPaths([.. SettingWords.Without(words)])],
    };

    private static IEnumerable<string> WithFullPaths(string[] words) =>
        words.Select((word, i) => i > 0 && words[i - 1] == AuthKey ? Path.GetFullPath(word) : word);

    private static RootCommand CreateReader()
    {
        var reader = new RootCommand();
        foreach (var command in CreateCommands(_ => Task.FromResult(ExitCodes.Done)))
        {
            command.TakeSettings();
            reader.Add(command);
        }

        return reader;
    }

    private static void CheckSelection(CommandResult delete)
    {
        if (delete.GetResult(FilterOption) is not { } given)
        {
            delete.AddError("delete needs --filter");
        }
        else if (!given.Errors.Any() && given.Tokens.Count == 1 && ReadFilter(given.Tokens[0].Value).Value is { } filter && !delete.GetValue(AllFlag)
            && EventDeletion.SelectsEverything(filter))
        {
            delete.AddError("this filter selects every event of the relay; delete --all with it removes them");
        }
    }

    private static (Uri Value, string? Mistake) ReadUrl(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Scheme is "ws" or "wss" ? (url, null)
            : (null!, "the URL of a relay starts with ws:// or wss://");

    private static (Filter? Value, string? Mistake) ReadFilter(string json)
    {
        const string mistake = "not a filter of NIP-01 in JSON";
        try
        {
            var bytes = Encoding.UTF8.GetBytes(json);
            using var whole = JsonDocument.Parse(bytes);
            var reader = new Utf8JsonReader(bytes);
            return Filter.TryRead(ref reader, out var filter, out _) ? (filter, null) : (null, mistake);
        }
        catch (JsonException)
        {
            return (null, mistake);
        }
    }
}
