using Marmot.Hosting;
using Marmot.Relay;
using Marmot.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests.Kit;

/// <summary>A whole relay in this process on a free port, with its own data directory and clock.</summary>
internal sealed class RelayHost : IAsyncDisposable
{
    public const string Origin = "wss://relay.example.com/";

    // On a clock that is up to 26 hours wrong: events of the test's own date are of the future.
    private static readonly string[] DatesOfDays = ["--Relay:MaxFuture=3.00:00:00"];

    private readonly WebApplication _app;
    private readonly bool _ownsDirectory;
    private readonly SteppingClock? _steps;

    private RelayHost(WebApplication app, string directory, WallClock clock, SteppingClock? steps, bool ownsDirectory)
    {
        _app = app;
        _steps = steps;
        Directory = directory;
        Clock = clock;
        _ownsDirectory = ownsDirectory;
        var address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        Http = new Uri(address + "/");
        WebSocket = new Uri(address.Replace("http://", "ws://", StringComparison.Ordinal) + "/");
    }

    public string Directory { get; }

    /// <summary>The date of the test and its clients, and of the relay but in the run with a stepping clock, which steps around it.</summary>
    public WallClock Clock { get; }

    public Uri Http { get; }

    public Uri WebSocket { get; }

    public IServiceProvider Services => _app.Services;

    public static async Task<RelayHost> StartAsync(long now = 1_700_000_500, string? directory = null, params string[] settings)
    {
        var owns = directory is null;
        directory ??= System.IO.Directory.CreateTempSubdirectory("marmot-relay-").FullName;
        var clock = new WallClock(DateTimeOffset.FromUnixTimeSeconds(now));
        var steps = TestKit.Clock.Steps ? new SteppingClock(clock) : null;
        var builder = MarmotHost.CreateBuilder([
            "--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=", "--Public:Origin=" + Origin, "--Log:Level=Fatal",
            "--Storage:DataDirectory=" + directory, .. steps is null ? [] : DatesOfDays, .. settings]);
        builder.AddRelay();
        builder.Services.AddSingleton(steps ?? (TimeProvider)clock);
        var app = builder.Build();
        app.UseRouting();
        app.MapRelay();
        await app.StartAsync();
        return new RelayHost(app, directory, clock, steps, owns);
    }

    public async Task<TestClient> ConnectAsync()
    {
        var client = new TestClient(steps: _steps);
        await client.ConnectAsync(WebSocket);
        return client;
    }

    /// <summary>For an exchange that is about minutes of the date: a stepping clock stands right until the end of what is returned.</summary>
    public IDisposable? HoldDate() => _steps?.Hold();

    /// <summary>What SIGTERM does.</summary>
    public Task StopAsync() => _app.StopAsync();

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync();
        await _app.DisposeAsync();
        if (_ownsDirectory)
        {
            System.IO.Directory.Delete(Directory, recursive: true);
        }
    }
}
