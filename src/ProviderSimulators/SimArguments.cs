using System.CommandLine;
using System.Net;
using Marmot.Terminal;

namespace Marmot.ProviderSimulators;

/// <summary>The command line of <c>marmot-server sim</c>, read and checked; all mistakes at once.</summary>
internal sealed class SimArguments
{
    private static readonly Option<IPAddress> ListenOption = Define.Parsed<IPAddress>(
        "--listen", "ADDRESS", "address to listen on (default: 127.0.0.1)", text =>
            IPAddress.TryParse(text, out var address) ? (address, null) : (IPAddress.None, $"'{text}' is no IP address"));

    private static readonly Option<int> PortOption = Define.Number("--port", "N", "port to listen on; 0: a free one", 0, 65_535, 0);
    private static readonly Option<string[]> NameOption = Define.List("--name", "HOST",
        "one more host name in the server certificate; fcm: the first one is the host in the service account's token_uri");
    private static readonly Option<string?> CredentialsOption = Define.Text("--write-credentials", "DIR",
        "folder for CA and keys, made once and kept (default: ./marmot-sim)");
    private static readonly Option<string?> ScriptOption = ExistingFile("--script", "verdicts by device token, JSON (docs/simulators.md)");
    private static readonly Option<string?> CaptureOption = Define.Text("--capture", "FILE", "append each request as a line of JSON");
    private static readonly Option<int> LatencyOption = Define.Number("--latency", "MS", "milliseconds before each answer", 0, 600_000, 0);
    private static readonly Option<bool> JsonFlag = Define.Flag("--json", "print the card as JSON");
    private static readonly Option<string[]> TopicOption = Define.List("--topic", "BUNDLE", "a bundle id of the team (repeatable; default: every topic)");
    private static readonly Option<string> TeamOption = Identifier("--team", "the team's id", "MARMOTTEAM");
    private static readonly Option<string> KeyIdOption = Identifier("--key-id", "the key's id", "MARMOTKEY1");
    private static readonly Option<string?> PublicKeyOption = ExistingFile("--public-key", "PEM of your own key, public half or .p8 (default: a key in DIR)");
    private static readonly Option<string> EnvironmentOption = Define.Choice("--environment", "Apple's environment", "production", "sandbox");
    private static readonly Option<int> InitialStreamsOption = Define.Number("--initial-streams", "N", "streams before the first good provider token", 1,
        1_000_000, 1);
    private static readonly Option<int> MaxStreamsOption = Define.Number("--max-streams", "N", "streams after it", 1, 1_000_000, 1000);
    private static readonly Option<int> GoAwayAfterOption = Define.Number("--goaway-after", "N",
        "GOAWAY on the n-th request of each connection (default: never)", 1, int.MaxValue, 0);
    private static readonly Option<string?> ProjectOption = Define.Text("--project", "ID", "project id (default: marmot-sim)");

    private static readonly Option[] Common = [PortOption, ListenOption, NameOption, CredentialsOption, ScriptOption, CaptureOption, LatencyOption, JsonFlag];
    private static readonly Option[] Apns = [TopicOption, TeamOption, KeyIdOption, PublicKeyOption, EnvironmentOption, InitialStreamsOption,
        MaxStreamsOption, GoAwayAfterOption];

    public required bool IsApns { get; init; }
    public bool Json { get; private init; }
    public required IPAddress Listen { get; init; }
    public int Port { get; private init; }
    public required IReadOnlyList<string> Names { get; init; }
    public required HashSet<string> Topics { get; init; }
    public required string Team { get; init; }
    public required string KeyId { get; init; }
    public string? PublicKeyFile { get; private init; }
    public ApnsEnvironment Environment { get; private init; }
    public int InitialStreams { get; private init; }
    public int MaxStreams { get; private init; }
    public int GoAwayAfter { get; private init; }
    public required string Project { get; init; }
    public string? ScriptFile { get; private init; }
    public string? CaptureFile { get; private init; }
    public required string Credentials { get; init; }
    public TimeSpan Latency { get; private init; }

    /// <summary>The two commands; <paramref name="run"/> gets what was typed.</summary>
    public static IEnumerable<Command> CreateCommands(Func<SimArguments, ParseResult, CancellationToken, Task<int>> run)
    {
        yield return With(new Command("apns", "Apple's push service"), [.. Common, .. Apns], (words, cancel) => run(From(words, isApns: true), words, cancel));
        yield return With(new Command("fcm", "Google's push service"), [.. Common, ProjectOption], (words, cancel) =>
            run(From(words, isApns: false), words, cancel));
    }

    private static Command With(Command command, Option[] options, Func<ParseResult, CancellationToken, Task<int>> run)
    {
        foreach (var option in options) command.Add(option);
        command.SetAction(run);
        return command;
    }

    private static SimArguments From(ParseResult words, bool isApns) => new()
    {
        IsApns = isApns,
        Json = words.GetValue(JsonFlag),
        Listen = words.GetValue(ListenOption) ?? IPAddress.Loopback,
        Port = words.GetValue(PortOption),
        Names = words.GetValue(NameOption) ?? [],
        Topics = [.. words.GetValue(TopicOption) ?? []],
        Team = words.GetValue(TeamOption) ?? "",
        KeyId = words.GetValue(KeyIdOption) ?? "",
        PublicKeyFile = words.GetValue(PublicKeyOption),
        Environment = words.GetValue(EnvironmentOption) == "sandbox" ? ApnsEnvironment.Sandbox : ApnsEnvironment.Production,
        InitialStreams = words.GetValue(InitialStreamsOption),
        MaxStreams = words.GetValue(MaxStreamsOption),
        GoAwayAfter = words.GetValue(GoAwayAfterOption),
        Project = words.GetValue(ProjectOption) ?? "marmot-sim",
        ScriptFile = words.GetValue(ScriptOption),
        CaptureFile = words.GetValue(CaptureOption),
        Credentials = words.GetValue(CredentialsOption) ?? "marmot-sim",
        Latency = TimeSpan.FromMilliseconds(words.GetValue(LatencyOption)),
    };

    private static Option<string> Identifier(string name, string description, string byDefault)
    {
        var option = Define.Parsed(name, "ID", $"{description}, ten letters and digits (default: {byDefault})", text =>
            (text, text.Length == 10 && text.All(char.IsAsciiLetterOrDigit) ? null : $"'{text}' is not ten letters and digits"));
        option.DefaultValueFactory = _ => byDefault;
        return option;
    }

    private static Option<string?> ExistingFile(string name, string description) =>
        Define.Parsed<string?>(name, "FILE", description, text => (text, File.Exists(text) ? null : $"no file '{text}'"));
}
