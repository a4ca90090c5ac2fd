using System.Globalization;
using System.Text.Json;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Configuration;

namespace Marmot.Hosting.Moderating;

/// <summary><c>marmot-server moderation</c>: the operator's decisions, whether or not a server runs. A running one carries them out within a second (on a
/// database: as soon as the bus tells it).</summary>
/// <remarks>Exit codes: 0 done, 1 failed, 2 wrong usage.</remarks>
public static class ModerationCommands
{
    /// <summary>Opens the decisions in a database for as long as the work lasts.</summary>
    public delegate Task<int> InDatabase(string connectionString, Func<IModerationStore, Task<int>> work);

    private const string By = "command line";

    private const string Usage = """
        usage: marmot-server moderation COMMAND [--Storage:DataDirectory=DIR] [--config FILE]

          list [--json]                       what is banned, blocked and allowed
          log [--json]                        who decided what, when and why
          ban key NPUB [--reason TEXT]        its events and blobs go for good, and it publishes and uploads no more
          ban event ID [--reason TEXT]        the event goes for good and is not taken again
          ban blob SHA256 [--reason TEXT]     the blob goes for good, and is neither taken nor served
          unban key|event|blob TARGET
          block|unblock ADDRESS [--reason TEXT]
                                              an IP address that is not served
          allow|unallow NPUB|NAME [--reason TEXT]
                                              a key, a NIP-05 name (alice@example.org) or a domain that counts as on every allow list

        Keys are npub or hex, events note, nevent or hex. Running servers of the data folder, or of the database, carry it out at once.
        """;

    /// <param name="args">What follows the word <c>moderation</c>.</param>
    /// <param name="inDatabase">For <c>Storage:Postgres</c>.</param>
    public static async Task<int> RunAsync(string[] args, InDatabase inDatabase)
    {
        ArgumentNullException.ThrowIfNull(args);
        ArgumentNullException.ThrowIfNull(inDatabase);
        if (args.Contains("--help"))
        {
            await Console.Out.WriteLineAsync(Usage);
            return 0;
        }

        try
        {
            var line = Line.Read(args);
            var configuration = new ConfigurationManager();
            configuration.AddMarmotSources([.. line.Settings]);
            var storage = configuration.GetSection(StorageOptions.Section).Get<StorageOptions>() ?? new StorageOptions();
            if (storage.Postgres.Length > 0)
            {
                return await inDatabase(storage.Postgres, store => RunAsync(line, store, Console.Out));
            }

            if (!Directory.Exists(storage.DataDirectory))
            {
                throw new DirectoryNotFoundException(
                    $"{Path.GetFullPath(storage.DataDirectory)} does not exist: name the server's data folder with --Storage:DataDirectory=FOLDER");
            }

            return await RunAsync(line, new ModerationFile(storage.DataDirectory), Console.Out);
        }
        catch (ArgumentException mistake)
        {
            await Console.Error.WriteLineAsync($"moderation: {mistake.Message}\n{Usage}");
            return 2;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            await Console.Error.WriteLineAsync($"moderation: {exception.Message}");
            return 1;
        }
    }

    private static async Task<int> RunAsync(Line line, IModerationStore store, TextWriter output)
    {
        using var moderation = new Moderation(store);
        if (line.Action.Length == 0)
        {
            await output.WriteAsync(line.ShowsLog ? DescribeLog(moderation.State, line.Json) : Describe(moderation.State, line.Json));
            return 0;
        }

        await new Decisions(moderation, [], TimeProvider.System).DecideAsync(line.Action, line.Target, line.Reason, By, CancellationToken.None);
        await output.WriteLineAsync($"{line.Action} {Shown(line.Action, DecisionActions.ReadTarget(line.Action, line.Target))}");
        return 0;
    }

    private static string Describe(ModerationState state, bool json)
    {
        var lists = new (string Name, string Action, Dictionary<string, string> Entries)[]
        {
            ("banned key", "ban-key", state.BannedKeys), ("banned event", "ban-event", state.BannedEvents), ("banned blob", "ban-blob", state.BannedBlobs),
            ("blocked address", "block-address", state.BlockedAddresses), ("allowed key", "allow-key", state.AllowedKeys),
                ("allowed name", "allow-name", state.AllowedNames),
        };
        return string.Concat(lists.SelectMany(list => list.Entries.OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => json
            ? JsonSerializer.Serialize(new { what = list.Name, target = entry.Key, reason = entry.Value }) + "\n"
            : $"{list.Name,-16} {Shown(list.Action, entry.Key)}{(entry.Value.Length > 0 ? "  " + entry.Value : "")}\n")));
    }

    private static string DescribeLog(ModerationState state, bool json) => string.Concat(state.Trail.Select(line => json
        ? JsonSerializer.Serialize(
            new { number = line.Number, at = line.At, by = line.By, action = line.Action, target = line.Target, reason = line.Reason }) + "\n"
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{DateTimeOffset.FromUnixTimeSeconds(line.At):yyyy-MM-dd HH:mm:ss}  {line.By}  {line.Action} ")
            + $"{Shown(line.Action, line.Target)}{(line.Reason.Length > 0 ? "  " + line.Reason : "")}\n"));

    /// <summary>A target for people: keys as npub.</summary>
    internal static string Shown(string action, string target) =>
        action.EndsWith("-key", StringComparison.Ordinal) && Bytes32.TryParseHex(target, out var key) ? Nip19.EncodePublicKey(key)
        : action.EndsWith("-event", StringComparison.Ordinal) && Bytes32.TryParseHex(target, out var id) ? Nip19.EncodeNote(id)
        : target;

    private sealed record Line(string Action, string Target, string Reason, bool ShowsLog, bool Json, List<string> Settings)
    {
        public static Line Read(string[] args)
        {
            var settings = new List<string>();
            var words = new List<string>();
            var (reason, json) = ("", false);
            for (var i = 0; i < args.Length; i++)
            {
                switch (args[i])
                {
                    case "--json":
                        json = true;
                        break;
                    case "--reason" when i + 1 < args.Length:
                        reason = args[++i];
                        break;
                    case "--config" when i + 1 < args.Length:
                        settings.AddRange(["--config", args[++i]]);
                        break;
                    case var setting when setting.StartsWith("--", StringComparison.Ordinal):
                        settings.Add(setting.Contains('=', StringComparison.Ordinal) ? setting : throw new ArgumentException($"does not take '{setting}'"));
                        break;
                    default:
                        words.Add(args[i]);
                        break;
                }
            }

            var (action, target) = words switch
            {
                ["list"] or ["log"] => ("", ""),
                ["ban" or "unban", "key" or "event" or "blob", var what] => ($"{words[0]}-{words[1]}", what),
                ["block" or "unblock", var address] => ($"{words[0]}-address", address),
                ["allow" or "unallow", var who] => ($"{words[0]}-{(DecisionActions.TryReadKey(who, out _) ? "key" : "name")}", who),
                [] => throw new ArgumentException("a command is missing"),
                _ => throw new ArgumentException($"does not take '{string.Join(' ', words)}'"),
            };
            if (action.Length > 0)
            {
                DecisionActions.ReadTarget(action, target);
            }

            return new Line(action, target, reason, words is ["log"], json, settings);
        }
    }
}
