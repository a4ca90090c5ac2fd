using System.Buffers;
using System.Text;
using Microsoft.Extensions.Options;

namespace Marmot.NotifyServer;

/// <summary>Says every mistake at once, by field name; never quotes a secret, since options only hold file names.</summary>
internal sealed class NotifyOptionsValidator : IValidateOptions<NotifyOptions>
{
    private static readonly SearchValues<char> NameCharacters = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-");

    public ValidateOptionsResult Validate(string? name, NotifyOptions options)
    {
        var mistakes = new List<string>();
        CheckRelays(options, mistakes);
        CheckNumbers(options, mistakes);
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < options.Apps.Count; i++)
        {
            CheckApp($"Notify:Apps:{i}", options.Apps[i], names, mistakes);
        }

        return mistakes.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(mistakes);
    }

    private static void CheckRelays(NotifyOptions options, List<string> mistakes)
    {
        if (options.Relays.Count == 0)
        {
            mistakes.Add("Notify:Relays: at least one relay to listen on");
        }

        for (var i = 0; i < options.Relays.Count; i++)
        {
            if (RelayUrl.Problem(options.Relays[i], options.AllowPlaintextRelays) is { } problem)
            {
                mistakes.Add($"Notify:Relays:{i}: {problem}");
            }
        }

        for (var i = 0; i < options.AnnounceRelays.Count; i++)
        {
            if (RelayUrl.Problem(options.AnnounceRelays[i], allowPlaintext: true) is { } problem)
            {
                mistakes.Add($"Notify:AnnounceRelays:{i}: {problem}");
            }
        }

        CheckFile("Notify:RelayCaFile", options.RelayCaFile, mistakes);
    }

    private static void CheckNumbers(NotifyOptions o, List<string> mistakes)
    {
        Range("HintLifetime", o.HintLifetime, TimeSpan.FromSeconds(10), TimeSpan.FromHours(1));
        Range("CoalescingWindow", o.CoalescingWindow, TimeSpan.Zero, TimeSpan.FromMinutes(1));
        Range("ReplayWindow", o.ReplayWindow, TimeSpan.FromMinutes(1), TimeSpan.FromHours(1));
        Range("ReplayCapacity", o.ReplayCapacity, 1_000, 10_000_000);
        Range("SeenCapacity", o.SeenCapacity, 1_000, 10_000_000);
        Range("EcOperationsPerSecond", o.EcOperationsPerSecond, 0, 10_000_000);
        Range("InboxCapacityPerRelay", o.InboxCapacityPerRelay, 16, 65_536);
        Range("MaxEventBytes", o.MaxEventBytes, 16_384, 4_194_304);
        Range("QueueCapacity", o.QueueCapacity, 100, 1_000_000);
        Range("Concurrency", o.Concurrency, 1, 10_000);
        Range("DeviceHintsPerMinute", o.DeviceHintsPerMinute, 1, 100_000);
        Range("DeviceHintsPerHour", o.DeviceHintsPerHour, 1, 1_000_000);
        Range("LimiterCapacity", o.LimiterCapacity, 1_024, 16_777_216);
        Range("ProviderTimeout", o.ProviderTimeout, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(1));
        Range("EoseTimeout", o.EoseTimeout, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(5));
        Range("ReconnectBase", o.ReconnectBase, TimeSpan.FromMilliseconds(10), TimeSpan.FromMinutes(5));
        Range("ReconnectMax", o.ReconnectMax, o.ReconnectBase, TimeSpan.FromHours(1));
        Range("RepeatsAfterTimeout", o.RepeatsAfterTimeout, 0, 10);
        if (o.CanaryInterval != TimeSpan.Zero)
        {
            Range("CanaryInterval", o.CanaryInterval, TimeSpan.FromSeconds(1), TimeSpan.FromDays(1));
        }

        Range("CanaryTimeout", o.CanaryTimeout, TimeSpan.FromMilliseconds(100), TimeSpan.FromMinutes(10));
        Range("ReloadInterval", o.ReloadInterval, TimeSpan.Zero, TimeSpan.FromHours(1));
        Range("InboxListInterval", o.InboxListInterval, TimeSpan.FromSeconds(1), TimeSpan.FromDays(1));
        Range("DrainTimeout", o.DrainTimeout, TimeSpan.Zero, TimeSpan.FromMinutes(10));

        void Range<T>(string field, T value, T low, T high)
            where T : IComparable<T>
        {
            if (value.CompareTo(low) < 0 || value.CompareTo(high) > 0)
            {
                mistakes.Add($"Notify:{field}: {value} is not between {low} and {high}");
            }
        }
    }

    private static void CheckApp(string at, NotifyAppOptions app, HashSet<string> names, List<string> mistakes)
    {
        if (app.Name.Length is 0 or > NotifyAppOptions.MaxNameLength || app.Name.AsSpan().ContainsAnyExcept(NameCharacters))
        {
            mistakes.Add($"{at}:Name: 1 to 32 characters of a-z, 0-9 and -");
        }
        else if (!names.Add(app.Name))
        {
            mistakes.Add($"{at}:Name: used twice");
        }

        if (app.KeyFile.Length == 0)
        {
            mistakes.Add($"{at}:KeyFile: missing; it is made on first run");
        }

        for (var i = 0; i < app.RetiringKeyFiles.Count; i++)
        {
            CheckFile($"{at}:RetiringKeyFiles:{i}", app.RetiringKeyFiles[i], mistakes);
        }

        CheckFile($"{at}:CaFile", app.CaFile, mistakes);
        CheckApns($"{at}:Apns", app.Apns, mistakes);
        CheckFcm($"{at}:Fcm", app.Fcm, mistakes);
    }

    private static void CheckApns(string at, ApnsOptions apns, List<string> mistakes)
    {
        if (!apns.IsConfigured)
        {
            if (apns.TeamId.Length + apns.KeyId.Length + apns.Topic.Length > 0)
            {
                mistakes.Add($"{at}:KeyFile: missing");
            }

            return;
        }

        CheckFile($"{at}:KeyFile", apns.KeyFile, mistakes);
        if (apns.TeamId.Length != 10)
        {
            mistakes.Add($"{at}:TeamId: ten characters");
        }

        if (apns.KeyId.Length != 10)
        {
            mistakes.Add($"{at}:KeyId: ten characters");
        }

        if (apns.Topic.Length == 0 || apns.Topic.AsSpan().ContainsAnyExceptInRange('!', '~'))
        {
            mistakes.Add($"{at}:Topic: the bundle id");
        }

        if (apns.Environment is not ("production" or "sandbox"))
        {
            mistakes.Add($"{at}:Environment: production or sandbox");
        }

        if (Encoding.UTF8.GetByteCount(apns.CollapseId) > 64 || apns.CollapseId.AsSpan().ContainsAnyExceptInRange('!', '~'))
        {
            mistakes.Add($"{at}:CollapseId: at most 64 printable characters");
        }

        if (apns.Connections is < 1 or > 16)
        {
            mistakes.Add($"{at}:Connections: 1 to 16");
        }

        CheckEndpoint($"{at}:Endpoint", apns.Endpoint, mistakes);
    }

    private static void CheckFcm(string at, FcmOptions fcm, List<string> mistakes)
    {
        if (fcm.IsConfigured)
        {
            CheckFile($"{at}:ServiceAccountFile", fcm.ServiceAccountFile, mistakes);
            CheckEndpoint($"{at}:Endpoint", fcm.Endpoint, mistakes);
        }
    }

    private static void CheckEndpoint(string field, string endpoint, List<string> mistakes)
    {
        if (endpoint.Length > 0 && !(Uri.TryCreate(endpoint, UriKind.Absolute, out var uri) && uri.Scheme == Uri.UriSchemeHttps))
        {
            mistakes.Add($"{field}: an https URL");
        }
    }

    private static void CheckFile(string field, string path, List<string> mistakes)
    {
        if (path.Length > 0 && !File.Exists(path))
        {
            mistakes.Add($"{field}: the file does not exist");
        }
    }
}
