using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Marmot.ProviderSimulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Platform.Files;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.NotifyServer.Tests.Soak;

/// <summary>The push server as a process of its own between two scripted relays and both simulators: for long and heavy runs, by tests and by <c>./bench
/// notify</c>.</summary>
internal sealed class LoadedServer : IAsyncDisposable
{
    private static readonly JsonSerializerOptions Names = new() { Converters = { new System.Text.Json.Serialization.JsonStringEnumConverter() } };

    private readonly TemporaryFolder _folder = new();
    private readonly ECDsa[] _keys = [ECDsa.Create(ECCurve.NamedCurves.nistP256), ECDsa.Create(ECCurve.NamedCurves.nistP256)];
    private readonly HttpClient _admin = new();
    private ApnsSimulatorOptions _apns = null!;
    private NotifyOptions _options = null!;
    private ChildProcess _process = null!;
    private int _keyInUse;

    public SimulatedProviders Providers { get; private set; } = null!;

    public TestRelay[] Relays { get; private set; } = [];

    public Bytes32 PublicKey { get; private set; }

    public ChildProcess Process => _process;

    /// <summary>Time before every answer of the APNs simulator, from now on.</summary>
    public TimeSpan ApnsLatency
    {
        set => _apns.Latency = value;
    }

    public static async Task<LoadedServer> StartAsync(Action<NotifyOptions>? configure = null, Action<SimulatedRequest>? onRequest = null)
    {
        var loaded = new LoadedServer();
        loaded.Providers = await SimulatedProviders.StartAsync(
            apns =>
            {
                loaded._apns = apns;
                apns.Keys = [.. loaded._keys.Select((key, i) => new ApnsSigningKey { KeyId = "KEYNUMBER" + i, TeamId = "MARMOTTEAM", PublicKey = key })];
                apns.OnRequest = onRequest;
            },
            fcm => fcm.OnRequest = onRequest);
        loaded.Relays = [await TestRelay.StartAsync(), await TestRelay.StartAsync()];
        var ports = FreePort.Take(2);
        loaded._admin.BaseAddress = new Uri($"http://127.0.0.1:{ports[1]}/");
        loaded.WriteSecrets();
        loaded._options = loaded.CreateOptions();
        configure?.Invoke(loaded._options);
        loaded._process = ChildProcess.Start("dotnet", [
            Path.Combine(AppContext.BaseDirectory, "Marmot.NotifyServer.dll"),
            "--config=" + loaded.WriteSettings(),
            $"--Public:Urls=http://127.0.0.1:{ports[0]}",
            $"--Admin:Urls=http://127.0.0.1:{ports[1]}",
            $"--Storage:DataDirectory={loaded._folder.Path}",
        ]);
        await Task.WhenAll(loaded.Relays.Select(relay => relay.SubscribedAsync()));
        return loaded;
    }

    /// <summary>The operator exchanges the APNs key: both its file and its name, then SIGHUP.</summary>
    public void RotateCredentials()
    {
        _keyInUse = 1 - _keyInUse;
        _options.Apps[0].Apns.KeyId = "KEYNUMBER" + _keyInUse;
        _options.Apps[0].Apns.KeyFile = Path.Combine(_folder.Path, $"{_keyInUse}.p8");
        WriteSettings();
        _process.HangUp();
    }

    /// <summary>The sum of a metric over all its labels, of those lines that hold the given text.</summary>
    public async Task<double> SumAsync(string metric, string holding = "")
    {
        var text = await _admin.GetStringAsync(new Uri("metrics", UriKind.Relative));
        return text.Split('\n')
            .Where(line => line.StartsWith(metric + "{", StringComparison.Ordinal) || line.StartsWith(metric + "_total{", StringComparison.Ordinal)
                || line.StartsWith(metric + " ", StringComparison.Ordinal) || line.StartsWith(metric + "_total ", StringComparison.Ordinal))
            .Where(line => line.Contains(holding, StringComparison.Ordinal))
            .Sum(line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));
    }

    /// <summary>Asks the metrics again and again until it is so.</summary>
    public async Task UntilAsync(Func<Task<bool>> condition, TimeSpan patience)
    {
        using var deadline = new CancellationTokenSource(patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (!await condition())
        {
            if (_process.HasExited || deadline.IsCancellationRequested)
            {
                throw new TimeoutException("it does not come about; the server wrote:\n" + _process.Output);
            }

            await timer.WaitForNextTickAsync(CancellationToken.None);
        }
    }

    /// <summary>Resident memory of the process in bytes, from the system.</summary>
    public async Task<double> MemoryAsync()
    {
        var bytes = await SumAsync("dotnet_process_memory_working_set_bytes");
        return bytes > 0 ? bytes : throw new InvalidOperationException("the server does not tell its memory");
    }

    public async ValueTask DisposeAsync()
    {
        if (_process is not null)
        {
            await _process.DisposeAsync();
        }

        foreach (var relay in Relays)
        {
            await relay.DisposeAsync();
        }

        await Providers.DisposeAsync();
        _admin.Dispose();
        Array.ForEach(_keys, key => key.Dispose());
        _folder.Dispose();
    }

    private NotifyOptions CreateOptions()
    {
        var options = new NotifyOptions
        {
            ReconnectBase = TimeSpan.FromMilliseconds(50),
            ReconnectMax = TimeSpan.FromMilliseconds(500),
            CoalescingWindow = TimeSpan.Zero,
            CanaryInterval = TimeSpan.Zero,
            ReloadInterval = TimeSpan.Zero,
            DrainTimeout = TimeSpan.FromSeconds(30),
        };
        foreach (var relay in Relays)
        {
            options.Relays.Add(relay.Url);
        }

        options.Apps.Add(new NotifyAppOptions
        {
            Name = "app",
            KeyFile = Path.Combine(_folder.Path, "notify.key"),
            CaFile = Path.Combine(_folder.Path, "ca.pem"),
            Apns = new ApnsOptions
            {
                TeamId = "MARMOTTEAM",
                KeyId = "KEYNUMBER0",
                KeyFile = Path.Combine(_folder.Path, "0.p8"),
                Topic = "org.example",
                Endpoint = Providers.Apns.Endpoint.AbsoluteUri,
            },
            Fcm = new FcmOptions { ServiceAccountFile = Path.Combine(_folder.Path, "fcm.json"), Endpoint = Providers.Fcm.Endpoint.AbsoluteUri },
        });
        return options;
    }

    private void WriteSecrets()
    {
        Secret("0.p8", _keys[0].ExportPkcs8PrivateKeyPem());
        Secret("1.p8", _keys[1].ExportPkcs8PrivateKeyPem());
        Secret("fcm.json", Providers.Fcm.ServiceAccountJson);
        Secret("ca.pem", Providers.Apns.CaCertificatePem);
        using var key = SecretKey.Generate();
        PublicKey = key.PublicKey;
        var secret = new byte[32];
        key.CopyTo(secret);
        Secret("notify.key", Convert.ToHexStringLower(secret));

        void Secret(string name, string text) => SecretFile.TryCreate(Path.Combine(_folder.Path, name), System.Text.Encoding.UTF8.GetBytes(text));
    }

    private string WriteSettings()
    {
        var path = Path.Combine(_folder.Path, "settings.json");
        File.WriteAllText(path, JsonSerializer.Serialize(new { Notify = _options }, Names));
        return path;
    }
}
