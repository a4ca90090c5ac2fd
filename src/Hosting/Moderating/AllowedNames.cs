using System.Text.Json;
using Marmot.Hosting.Outgoing;
using Marmot.Protocol.Addresses;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Marmot.Hosting.Moderating;

/// <summary>Asks the domains of the allow list which keys they name (NIP-05): at the start, when the list changes, and every hour. A domain that does not
/// answer changes nothing.</summary>
public sealed class AllowedNames : BackgroundService
{
    private const int MaxAnswerBytes = 4 * 1024 * 1024;
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan RefreshInterval = TimeSpan.FromHours(1);
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(10);

    private readonly AllowList _list;
    private readonly TimeProvider _time;
    private readonly ILogger<AllowedNames> _log;
    private readonly HttpClient _http = OutgoingHttp.CreateClient(AnswerTimeout); // NIP-05: redirects are not followed
    private readonly Dictionary<string, HashSet<Bytes32>> _keys = new(StringComparer.Ordinal);

    /// <summary>Makes it; nothing is asked before the start.</summary>
    public AllowedNames(AllowList list, TimeProvider time, ILogger<AllowedNames> log)
    {
        (_list, _time, _log) = (list, time, log);
        _http.MaxResponseContentBufferSize = MaxAnswerBytes;
    }

    /// <summary>Where a name is asked for: HTTPS, but for names of loopback.</summary>
    internal static Uri UrlOf(string name)
    {
        var at = name.IndexOf('@', StringComparison.Ordinal);
        var domain = name[(at + 1)..];
        var scheme = HostName.TryParseWithPort(domain, out var host, out _) && host.IsLoopback ? "http" : "https";
        return new Uri($"{scheme}://{domain}/.well-known/nostr.json{(at < 0 ? "" : "?name=" + Uri.EscapeDataString(name[..at]))}");
    }

    /// <summary>The keys that an answer names: all of a domain, or the one asked for. Null when it is no answer of NIP-05.</summary>
    internal static HashSet<Bytes32>? ReadAnswer(byte[] json, string name)
    {
        try
        {
            using var document = JsonDocument.Parse(json);
            if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("names", out var names)
                || names.ValueKind != JsonValueKind.Object)
            {
                return null;
            }

            var at = name.IndexOf('@', StringComparison.Ordinal);
            var keys = new HashSet<Bytes32>();
            foreach (var entry in names.EnumerateObject())
            {
                if ((at < 0 || entry.Name.Equals(name[..at], StringComparison.OrdinalIgnoreCase))
                    && entry.Value.ValueKind == JsonValueKind.String && Bytes32.TryParseHex(entry.Value.GetString().AsSpan(), out var key))
                {
                    keys.Add(key);
                }
            }

            return keys;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException) // the last for half a surrogate pair
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        _http.Dispose();
        base.Dispose();
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        IReadOnlyCollection<string> asked = [];
        var next = TimeSpan.Zero;
        using var timer = new PeriodicTimer(LookInterval, _time);
        try
        {
            do
            {
                var names = _list.Names;
                if ((names.Count == 0 && asked.Count == 0) || (_time.GetUptime() < next && asked.SequenceEqual(names)))
                {
                    continue;
                }

                var away = await AskAsync(names, stoppingToken);
                if (away > 0)
                {
                    ModeratingLog.NamesAway(_log, away);
                }

                (asked, next) = (names, _time.GetUptime() + (away > 0 ? RetryInterval : RefreshInterval));
            }
            while (await timer.WaitForNextTickAsync(stoppingToken));
        }
        catch (OperationCanceledException)
        {
            // stopping
        }
    }

    /// <summary>Asks all; how many did not answer.</summary>
    private async Task<int> AskAsync(IReadOnlyCollection<string> names, CancellationToken cancel)
    {
        var away = 0;
        foreach (var name in names)
        {
            if (await TryAskAsync(name, cancel) is { } keys)
            {
                _keys[name] = keys;
            }
            else
            {
                away++;
            }

            Publish(names); // as they come: one slow domain keeps nobody else out
        }

        Publish(names);
        return away;
    }

    private void Publish(IReadOnlyCollection<string> names) => _list.SetNamed([.. names.SelectMany(name => _keys.GetValueOrDefault(name) ?? [])]);

    private async Task<HashSet<Bytes32>?> TryAskAsync(string name, CancellationToken cancel)
    {
        try
        {
            using var answer = await _http.GetAsync(UrlOf(name), cancel);
            return answer.IsSuccessStatusCode ? ReadAnswer(await answer.Content.ReadAsByteArrayAsync(cancel), name) : null;
        }
        catch (Exception exception) when (exception is HttpRequestException || (exception is OperationCanceledException && !cancel.IsCancellationRequested))
        {
            return null;
        }
    }
}
