using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Marmot.Hosting.Settings;
using Marmot.Protocol.Encoding;
using Marmot.Terminal;
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

    private static readonly Option<bool> JsonFlag = Define.Flag("--json", "as one JSON object a line");
    private static readonly Option<string?> ReasonOption = Define.Text("--reason", "TEXT", "why; kept in the log");
    private static readonly Argument<string> Kind = Define.WordOf("KIND", "what is meant", "key", "event", "blob");
    private static readonly Argument<string> Target = Define.Word("TARGET", "a key (npub or hex), an event (note, nevent or hex), or a blob's SHA-256");
    private static readonly Argument<string> Address = Define.Word("ADDRESS", "an IP address");
    private static readonly Argument<string> Who = Define.Word("NPUB", "a key, a NIP-05 name (alice@example.org) or a domain");

    /// <summary><c>moderation</c> with its commands.</summary>
    /// <param name="inDatabase">For <c>Storage:Postgres</c>.</param>
    public static Command CreateCommand(InDatabase inDatabase)
    {
        ArgumentNullException.ThrowIfNull(inDatabase);
        return new Command("moderation", "bans and allow list of all roles; running servers of the data folder, or of the database, carry it out at once")
        {
            Shows("list", "what is banned, blocked and allowed", showsLog: false),
            Shows("log", "who decided what, when and why", showsLog: true),
            Decides("ban", "what it names goes for good, and is neither taken nor served again", [Kind, Target], Named),
            Decides("unban", "lift a ban", [Kind, Target], Named),
            Decides("block", "serve an address no more", [Address], (verb, words) => ($"{verb}-address", words.GetRequiredValue(Address))),
            Decides("unblock", "serve it again", [Address], (verb, words) => ($"{verb}-address", words.GetRequiredValue(Address))),
            Decides("allow", "count as on every allow list", [Who], Allowed),
            Decides("unallow", "take it back", [Who], Allowed),
        };

        Command Shows(string name, string description, bool showsLog)
        {
            var command = new Command(name, description) { JsonFlag };
            command.TakeSettings();
            command.SetAction((words, _) => RunAsync(
                new Line("", "", "", showsLog, words.GetValue(JsonFlag)), SettingWords.From(words), inDatabase));
            return command;
        }

        Command Decides(string name, string description, Argument[] arguments, Func<string, ParseResult, (string Action, string Target)> read)
        {
            var command = new Command(name, description) { ReasonOption };
            foreach (var argument in arguments)
            {
                command.Add(argument);
            }

            command.TakeSettings();
            command.SetAction((words, _) =>
            {
                var (action, target) = read(name, words);
                return RunAsync(new Line(action, target, words.GetValue(ReasonOption) ?? "", false, false), SettingWords.From(words), inDatabase);
            });
            return command;
        }
    }

    private static (string Action, string Target) Named(string verb, ParseResult words) =>
        ($"{verb}-{words.GetRequiredValue(Kind)}", words.GetRequiredValue(Target));

    private static (string Action, string Target) Allowed(string verb, ParseResult words)
    {
        string who = words.GetRequiredValue(Who);
        return ($"{verb}-{(DecisionActions.TryReadKey(who, out _) ? "key" : "name")}", who);
    }

    private static async Task<int> RunAsync(Line line, string[] settings, InDatabase inDatabase)
    {
        try
        {
            if (line.Action.Length > 0)
            {
                DecisionActions.ReadTarget(line.Action, line.Target);
            }

            var configuration = new ConfigurationManager();
            configuration.AddMarmotSources(settings);
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
            await Console.Error.WriteLineAsync($"moderation: {mistake.Message}");
            return ExitCodes.WrongUsage;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            await Console.Error.WriteLineAsync($"moderation: {exception.Message}");
            return ExitCodes.Failed;
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

    private sealed record Line(string Action, string Target, string Reason, bool ShowsLog, bool Json);
}
