using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Marmot.Blossom.Blobs;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.Terminal;

namespace Marmot.Blossom.Commands;

/// <summary>What an operator typed after the word <c>blossom</c>.</summary>
internal sealed class BlossomCommandLine
{
    private const int Day = 86400; // seconds

    private static readonly Option<Bytes32?> KeyOption = Define.Parsed<Bytes32?>("--key", "NPUB", "claims of this key", text =>
        DecisionActions.TryReadKey(text, out var key) ? (key, null) : (null, "expected a public key, npub or 64 hex digits"));

    private static readonly Option<string?> HashOption = Define.Text("--hash", "PREFIX", "blobs whose SHA-256 starts so");
    private static readonly Option<string?> TypeOption = Define.Text("--type", "TYPE", "of this media type, e.g. image/*");
    private static readonly Option<long?> MinBytes = Number("--min-bytes", "N", "at least so large");
    private static readonly Option<long?> MaxBytes = Number("--max-bytes", "N", "at most so large");
    private static readonly Option<long?> Older = Number("--older", "DAYS", "older than so many days");
    private static readonly Option<long?> Newer = Number("--newer", "DAYS", "not older than so many days");
    private static readonly Option<int> LimitOption = Define.Number("--limit", "N", "lines at most", 1, int.MaxValue, int.MaxValue);
    private static readonly Option<bool> YesFlag = Define.Flag("--yes", "delete what the search finds; without it is only counted");
    private static readonly Option<bool> DropDamagedFlag = Define.Flag("--drop-damaged", "give up claims that the disk has damaged, and their bytes");
    private static readonly Option<Bytes32?> DoneOption = Define.Parsed<Bytes32?>("--done", "SHA256", "acknowledge the reports about this blob", text =>
        Bytes32.TryParseHex(text.ToLowerInvariant(), out var hash) ? (hash, null) : (null, "expected the SHA-256 of a blob: 64 hex digits"));

    private static readonly Argument<string[]> HashWords = Define.AnyWords("SHA256", "blobs by name, whoever holds them: overwritten, then unlinked");
    private static readonly Argument<string> FolderWord = Define.Word("FOLDER", "as the server sees it");

    // For the server that carries out what another process read; never invoked.
    private static readonly RootCommand Reader = CreateReader();

    public string Word { get; private init; } = "";

    /// <summary>FOLDER.</summary>
    public string? Folder { get; private init; }

    /// <summary>Blobs named one by one.</summary>
    public List<Bytes32> Hashes { get; private init; } = [];

    public BlobQuery Query { get; private init; } = new();

    /// <summary>Lines of list at most.</summary>
    public int Limit { get; private init; }

    public bool Yes { get; private init; }

    public bool DropDamaged { get; private init; }

    /// <summary>The blob whose reports are acknowledged.</summary>
    public Bytes32? Done { get; private init; }

    /// <summary>Settings and <c>--config</c>, for the configuration.</summary>
    public IReadOnlyList<string> Settings { get; private init; } = [];

    /// <summary>The command and its words without the settings, for a running server, which has its own and stands in another directory.</summary>
    public string[] Words { get; private init; } = [];

    /// <summary>The commands, each with its own words; <paramref name="run"/> gets what was typed and returns the exit code.</summary>
    public static IEnumerable<Command> CreateCommands(Func<BlossomCommandLine, Task<int>> run)
    {
        Option[] search = [KeyOption, HashOption, TypeOption, MinBytes, MaxBytes, Older, Newer];
        var list = new Command("list", "claims as one JSON object a line") { LimitOption };
        var delete = new Command("delete", "delete blobs by name, or count what a search finds and with --yes delete it") { HashWords, YesFlag };
        foreach (var option in search)
        {
            list.Add(option);
            delete.Add(option);
        }

        delete.Validators.Add(given => CheckDelete(given, search));
        Command[] commands =
        [
            new("stats", "blobs, claims and bytes stored"),
            list,
            delete,
            new("verify", "hash every blob again; exit code 1 when one is damaged or missing"),
            new("import", "take every file of a folder whose name holds its SHA-256: another server's storage") { FolderWord },
            new("export", "write every blob as a file named by its SHA-256") { FolderWord },
            new("gc", "delete what has ended, and bytes nobody holds") { DropDamagedFlag },
            new("reports", "what was reported (BUD-09), by blob") { DoneOption },
        ];
        foreach (var command in commands)
        {
            command.TakeSettings();
            command.SetAction((words, _) => run(From(words, TimeProvider.System.GetUtcNow().ToUnixTimeSeconds())));
        }

        return commands;
    }

    /// <summary>Null with a sentence when it makes no sense.</summary>
    /// <param name="args">The words.</param>
    /// <param name="now">Unix seconds, for ages.</param>
    /// <param name="mistake">The sentence.</param>
    public static BlossomCommandLine? TryRead(string[] args, long now, out string mistake)
    {
        var words = ConsoleProgram.Parse(Reader, args, out var mistakes);
        mistake = args.Length > 0 ? string.Join("; ", mistakes) : "a command is missing";
        return mistake.Length == 0 ? From(words, now) : null;
    }

    private static BlossomCommandLine From(ParseResult words, long now)
    {
        string? folder = words.GetValue(FolderWord) is { } given ? Path.GetFullPath(given) : null;
        return new BlossomCommandLine
        {
            Word = words.CommandResult.Command.Name,
            Folder = folder,
            Hashes = [.. (words.GetValue(HashWords) ?? []).Select(Hash)],
            Query = new BlobQuery
            {
                Key = words.GetValue(KeyOption),
                HashPrefix = words.GetValue(HashOption)?.ToLowerInvariant(),
                Type = words.GetValue(TypeOption),
                MinBytes = words.GetValue(MinBytes),
                MaxBytes = words.GetValue(MaxBytes),
                Before = now - (words.GetValue(Older) * Day),
                Since = now - (words.GetValue(Newer) * Day),
            },
            Limit = words.GetValue(LimitOption),
            Yes = words.GetValue(YesFlag),
            DropDamaged = words.GetValue(DropDamagedFlag),
            Done = words.GetValue(DoneOption),
            Settings = SettingWords.From(words),
            Words = folder is not null ? [words.CommandResult.Command.Name, folder] : [words.CommandResult.Command.Name, .. SettingWords.Without(words)],
        };
    }

    private static void CheckDelete(CommandResult delete, Option[] search)
    {
        string[] names = [.. delete.GetResult(HashWords)?.Tokens.Select(token => token.Value) ?? []];
        bool searches = search.Any(option => delete.GetResult(option) is not null);
        if (names.Any(name => !Bytes32.TryParseHex(name.ToLowerInvariant(), out _)))
        {
            delete.AddError("expected the SHA-256 of a blob: 64 hex digits");
        }
        else if (names.Length == 0 && !searches)
        {
            delete.AddError("delete needs the SHA-256 of a blob, or a search");
        }
        else if (names.Length > 0 && searches)
        {
            delete.AddError("delete takes blobs by name or a search, not both");
        }
    }

    private static Bytes32 Hash(string text) => Bytes32.ParseHex(text.ToLowerInvariant());

    private static Option<long?> Number(string name, string valueName, string description) => Define.Parsed<long?>(name, valueName, description, text =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? (number, null) : (null, "expected a number"));

    private static RootCommand CreateReader()
    {
        var reader = new RootCommand();
        foreach (var command in CreateCommands(_ => Task.FromResult(ExitCodes.Done)))
        {
            reader.Add(command);
        }

        return reader;
    }
}
