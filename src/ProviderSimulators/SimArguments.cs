using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace Marmot.ProviderSimulators;

/// <summary>The command line of <c>marmot-server sim</c>, read and checked; all mistakes at once.</summary>
internal sealed class SimArguments
{
    private const string DefaultCredentials = "marmot-sim";

    private static readonly string[] ApnsOnly = [
        "--topic", "--team", "--key-id", "--public-key", "--environment", "--initial-streams", "--max-streams", "--goaway-after"
    ];
    private static readonly string[] FcmOnly = ["--project"];
    private static readonly string[] Common = ["--listen", "--port", "--name", "--script", "--capture", "--write-credentials", "--latency"];

    public bool IsApns { get; private set; }
    public bool Json { get; private set; }
    public IPAddress Listen { get; private set; } = IPAddress.Loopback;
    public int Port { get; private set; }
    public List<string> Names { get; } = [];
    public HashSet<string> Topics { get; } = [];
    public string Team { get; private set; } = "MARMOTTEAM";
    public string KeyId { get; private set; } = "MARMOTKEY1";
    public string? PublicKeyFile { get; private set; }
    public ApnsEnvironment Environment { get; private set; }
    public int InitialStreams { get; private set; } = 1;
    public int MaxStreams { get; private set; } = 1000;
    public int GoAwayAfter { get; private set; }
    public string Project { get; private set; } = "marmot-sim";
    public string? ScriptFile { get; private set; }
    public string? CaptureFile { get; private set; }
    public string Credentials { get; private set; } = DefaultCredentials;
    public TimeSpan Latency { get; private set; }

    public static bool TryParse(ReadOnlySpan<string> args, [NotNullWhen(true)] out SimArguments? arguments, out List<string> mistakes)
    {
        mistakes = [];
        arguments = null;
        if (args.IsEmpty || args[0] is not ("apns" or "fcm"))
        {
            mistakes.Add("say which provider: apns or fcm");
            return false;
        }
        var parsed = new SimArguments { IsApns = args[0] == "apns" };
        for (var i = 1; i < args.Length; i++)
        {
            var name = args[i];
            if (name == "--json")
            {
                parsed.Json = true;
                continue;
            }
            var foreign = parsed.IsApns ? FcmOnly : ApnsOnly;
            if (foreign.Contains(name))
            {
                mistakes.Add($"{name} is no option of {args[0]}");
            }
            else if (!Common.Contains(name) && !ApnsOnly.Contains(name) && !FcmOnly.Contains(name))
            {
                mistakes.Add($"unknown option {name}");
                continue;
            }
            if (++i >= args.Length)
            {
                mistakes.Add($"{name} needs a value");
                break;
            }
            if (parsed.Set(name, args[i]) is { } mistake) mistakes.Add($"{name}: {mistake}");
        }
        arguments = parsed;
        return mistakes.Count == 0;
    }

    private string? Set(string name, string value)
    {
        switch (name)
        {
            case "--listen":
                if (!IPAddress.TryParse(value, out var address)) return $"'{value}' is no IP address";
                Listen = address;
                return null;
            case "--port": return Number(value, 0, 65_535, number => Port = number);
            case "--name": Names.Add(value); return null;
            case "--topic": Topics.Add(value); return null;
            case "--team": return Identifier(value, text => Team = text);
            case "--key-id": return Identifier(value, text => KeyId = text);
            case "--public-key": return ExistingFile(value, file => PublicKeyFile = file);
            case "--environment":
                if (value is not ("production" or "sandbox")) return "production or sandbox";
                Environment = value == "sandbox" ? ApnsEnvironment.Sandbox : ApnsEnvironment.Production;
                return null;
            case "--initial-streams": return Number(value, 1, 1_000_000, number => InitialStreams = number);
            case "--max-streams": return Number(value, 1, 1_000_000, number => MaxStreams = number);
            case "--goaway-after": return Number(value, 1, int.MaxValue, number => GoAwayAfter = number);
            case "--project": Project = value; return null;
            case "--script": return ExistingFile(value, file => ScriptFile = file);
            case "--capture": CaptureFile = value; return null;
            case "--write-credentials": Credentials = value; return null;
            default: return Number(value, 0, 600_000, number => Latency = TimeSpan.FromMilliseconds(number));
        }
    }

    private static string? Number(string value, int least, int most, Action<int> set)
    {
        if (!int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number < least || number > most)
        {
            return $"'{value}' is not a number from {least} to {most}";
        }

        set(number);
        return null;
    }

    private static string? Identifier(string value, Action<string> set)
    {
        if (value.Length != 10 || !value.All(char.IsAsciiLetterOrDigit)) return $"'{value}' is not ten letters and digits";
        set(value);
        return null;
    }

    private static string? ExistingFile(string value, Action<string> set)
    {
        if (!File.Exists(value)) return $"no file '{value}'";
        set(value);
        return null;
    }
}
