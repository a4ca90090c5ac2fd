using System.Globalization;
using System.Text.RegularExpressions;
using Marmot.Hosting.Outgoing;
using Marmot.NotifyServer.Providers;

namespace Marmot.NotifyServer;

/// <summary>What a running push server did with a test push, read from the counters of its admin port: the server tells senders nothing, and names no
/// device.</summary>
/// <remarks>On a server with other traffic it may be another's push that ended first; then it says what happened to that one.</remarks>
internal sealed partial class TestOutcome : IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);
    private static readonly string[] Watched = [
        "marmot_notify_pushes_ended", "marmot_notify_tokens_lost", "marmot_notify_tokens{", "marmot_notify_tokens_total{"
    ];

    private readonly HttpClient _client;
    private readonly Dictionary<string, double> _before;

    private TestOutcome(HttpClient client, Dictionary<string, double> before) => (_client, _before) = (client, before);

    /// <summary>Remembers how the counters stand before the push; null when no push server's admin port answers there.</summary>
    public static async Task<TestOutcome?> StartAsync(Uri admin, CancellationToken cancellationToken)
    {
        var client = OutgoingHttp.CreateClient(TimeSpan.FromSeconds(3), ProviderHttp.CreateHandler(null));
        client.BaseAddress = admin;
        if (await ReadAsync(client, cancellationToken) is { } before)
        {
            return new TestOutcome(client, before);
        }

        client.Dispose();
        return null;
    }

    /// <summary>Waits for the push to end.</summary>
    /// <param name="platform">The provider's name.</param>
    /// <param name="cancellationToken">Ends the waiting.</param>
    /// <returns>Whether the provider took it, and one line for people.</returns>
    /// <exception cref="OperationCanceledException">It did not end in time.</exception>
    public async Task<(bool Accepted, string Line)> WaitAsync(string platform, CancellationToken cancellationToken)
    {
        while (true)
        {
            await Task.Delay(Pause, cancellationToken);
            if (await ReadAsync(_client, cancellationToken) is { } now && Judge(_before, now, platform) is { } outcome)
            {
                return outcome;
            }
        }
    }

    public void Dispose() => _client.Dispose();

    /// <summary>What the first counter that grew says; null when none did that ends a push.</summary>
    internal static (bool Accepted, string Line)? Judge(Dictionary<string, double> before, Dictionary<string, double> now, string platform)
    {
        (bool, string)? lost = null;
        foreach (var (series, value) in now)
        {
            if (value <= before.GetValueOrDefault(series))
            {
                continue;
            }

            var labels = Label().Matches(series).ToDictionary(match => match.Groups[1].Value, match => match.Groups[2].Value);
            if (series.StartsWith("marmot_notify_pushes_ended", StringComparison.Ordinal) && labels.GetValueOrDefault("platform") == platform)
            {
                var (end, reason) = (labels.GetValueOrDefault("end", ""), labels.GetValueOrDefault("reason", ""));
                return (end == "accepted", $"{platform}: {end}{(reason is "" or "ok" ? "" : $" ({reason})")}");
            }

            if (series.StartsWith("marmot_notify_tokens_lost", StringComparison.Ordinal) && labels.GetValueOrDefault("cause") is { } cause and not "coalesced")
            {
                lost = (false, "not pushed: " + cause);
            }
            else if (labels.GetValueOrDefault("outcome") == "skipped")
            {
                lost ??= (false, "not pushed: the server could not decrypt the token; is the key its own?");
            }
        }

        return lost;
    }

    /// <summary>The watched series of a metrics page, each with its labels as written.</summary>
    internal static Dictionary<string, double> Parse(string text)
    {
        var counters = new Dictionary<string, double>(StringComparer.Ordinal);
        foreach (var line in text.Split('\n'))
        {
            var space = line.LastIndexOf(' ');
            if (space > 0 && Watched.Any(name => line.StartsWith(name, StringComparison.Ordinal))
                && double.TryParse(line.AsSpan(space + 1), NumberStyles.Float, CultureInfo.InvariantCulture, out var value))
            {
                counters[line[..space]] = value;
            }
        }

        return counters;
    }

    private static async Task<Dictionary<string, double>?> ReadAsync(HttpClient client, CancellationToken cancellationToken)
    {
        try
        {
            var text = await client.GetStringAsync(new Uri("metrics", UriKind.Relative), cancellationToken);
            return text.Contains("marmot_notify_", StringComparison.Ordinal) ? Parse(text) : null;
        }
        catch (Exception e) when (e is HttpRequestException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return null;
        }
    }

    [GeneratedRegex(@"(\w+)=""([^""]*)""")]
    private static partial Regex Label();
}
