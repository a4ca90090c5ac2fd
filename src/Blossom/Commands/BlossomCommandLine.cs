using System.Globalization;
using Marmot.Blossom.Blobs;
using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Commands;

/// <summary>What an operator typed after the word <c>blossom</c>.</summary>
internal sealed class BlossomCommandLine
{
    public const string Usage = """
        usage: marmot-server blossom COMMAND [--Section:Key=value ...] [--config FILE]

          stats            blobs, claims and bytes stored
          list [SEARCH]    claims as one JSON object a line
          delete SHA256... deletes blobs whoever holds them: overwritten, then unlinked
          delete SEARCH [--yes]
                           counts what the search finds; with --yes deletes it. With --key the claims of that key go, and the blobs nobody else holds
          verify           hashes every blob again; exit 1 when one is damaged or missing
          import FOLDER    takes every file of a folder whose name holds its SHA-256 (another server's storage)
          export FOLDER    writes every blob as a file named by its SHA-256
          gc [--drop-damaged]
                           deletes what has ended and bytes nobody holds; with claims that the disk has damaged only when they are given up
          reports [--done SHA256]
                           what was reported (BUD-09), by blob; --done acknowledges the reports about one

        SEARCH: --key NPUB, --hash PREFIX, --type image/*, --min-bytes N, --max-bytes N, --older DAYS, --newer DAYS, and for list --limit N

        A server that runs on the data folder carries the command out itself; FOLDER is then as the server sees it. With Storage:Postgres the command works
        beside the servers.
        """;

    /// <summary>The command words.</summary>
    public static readonly string[] Words = ["stats", "list", "delete", "verify", "import", "export", "gc", "reports"];

    public string Word { get; private init; } = "";

    /// <summary>FOLDER.</summary>
    public string? Folder { get; private set; }

    /// <summary>Blobs named one by one.</summary>
    public List<Bytes32> Hashes { get; } = [];

    public BlobQuery Query { get; private set; } = new();

    /// <summary>Lines of list at most.</summary>
    public int Limit { get; private set; } = int.MaxValue;

    public bool Yes { get; private set; }

    public bool DropDamaged { get; private set; }

    /// <summary>The blob whose reports are acknowledged.</summary>
    public Bytes32? Done { get; private set; }

    /// <summary>Settings and <c>--config</c>, for the configuration.</summary>
    public List<string> Settings { get; } = [];

    /// <summary>Null with a sentence when it makes no sense.</summary>
    /// <param name="args">The words.</param>
    /// <param name="now">Unix seconds, for ages.</param>
    /// <param name="mistake">The sentence.</param>
    public static BlossomCommandLine? TryRead(string[] args, long now, out string mistake)
    {
        mistake = "a command is missing";
        if (args.Length == 0)
        {
            return null;
        }

        var line = new BlossomCommandLine { Word = args[0] };
        mistake = Words.Contains(args[0]) ? "" : $"unknown command '{args[0]}'";
        for (var i = 1; i < args.Length && mistake.Length == 0; i++)
        {
            mistake = line.Take(args, ref i, now);
        }

        if (mistake.Length == 0)
        {
            mistake = line.Word switch
            {
                "import" or "export" when line.Folder is null => $"{line.Word} needs a folder",
                "delete" when line.Hashes.Count == 0 && line.Query.IsEmpty => "delete needs the SHA-256 of a blob, or a search",
                "delete" when line.Hashes.Count > 0 && !line.Query.IsEmpty => "delete takes blobs by name or a search, not both",
                _ => "",
            };
        }

        return mistake.Length == 0 ? line : null;
    }

    // Takes one argument and its value; the mistake, or empty.
    private string Take(string[] args, ref int i, long now)
    {
        var word = args[i];
        var value = i + 1 < args.Length ? args[i + 1] : null;
        var searches = Word is "list" or "delete";
        if (searches && value is not null && TakeSearch(word, value, now) is { } mistake)
        {
            i++;
            return mistake;
        }

        switch (word)
        {
            case "--config" when value is not null:
                Settings.AddRange(["--config", value]);
                i++;
                return "";
            case "--limit" when Word == "list" && int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) && limit > 0:
                Limit = limit;
                i++;
                return "";
            case "--done" when Word == "reports" && Bytes32.TryParseHex((value ?? "").ToLowerInvariant(), out var done):
                Done = done;
                i++;
                return "";
            case "--yes" when Word == "delete":
                Yes = true;
                return "";
            case "--drop-damaged" when Word == "gc":
                DropDamaged = true;
                return "";
            case var setting when setting.StartsWith("--", StringComparison.Ordinal) && setting.Contains('=', StringComparison.Ordinal):
                Settings.Add(setting);
                return "";
            case var text when Word == "delete" && !text.StartsWith('-'):
                if (!Bytes32.TryParseHex(text.ToLowerInvariant(), out var hash))
                {
                    return "expected the SHA-256 of a blob: 64 hex digits";
                }

                Hashes.Add(hash);
                return "";
            case var folder when Word is "import" or "export" && Folder is null && !folder.StartsWith('-'):
                Folder = Path.GetFullPath(folder);
                return "";
            default:
                return $"{Word} does not take '{word}'";
        }
    }

    // A mistake, empty when it was taken, null when it is no search.
    private string? TakeSearch(string word, string value, long now)
    {
        const int Day = 86400; // seconds
        var isNumber = long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number);
        switch (word)
        {
            case "--key":
                if (!DecisionActions.TryReadKey(value, out var key))
                {
                    return "--key: expected a public key, npub or 64 hex digits";
                }

                Query = Query with { Key = key };
                return "";
            case "--hash":
                Query = Query with { HashPrefix = value.ToLowerInvariant() };
                return "";
            case "--type":
                Query = Query with { Type = value };
                return "";
            case "--min-bytes" or "--max-bytes" or "--older" or "--newer" when !isNumber:
                return $"{word}: expected a number";
            case "--min-bytes":
                Query = Query with { MinBytes = number };
                return "";
            case "--max-bytes":
                Query = Query with { MaxBytes = number };
                return "";
            case "--older":
                Query = Query with { Before = now - (number * Day) };
                return "";
            case "--newer":
                Query = Query with { Since = now - (number * Day) };
                return "";
            default:
                return null;
        }
    }
}
