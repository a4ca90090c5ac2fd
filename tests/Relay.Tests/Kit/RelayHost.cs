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
    private readonly WebApplication _app;
    private readonly bool _ownsDirectory;

    private RelayHost(WebApplication app, string directory, WallClock clock, bool ownsDirectory)
    {
        _app = app;
        Directory = directory;
        Clock = clock;
        _ownsDirectory = ownsDirectory;
        var address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        Http = new Uri(address + "/");
        WebSocket = new Uri(address.Replace("http://", "ws://", StringComparison.Ordinal) + "/");
    }

    public string Directory { get; }

    public WallClock Clock { get; }

    public Uri Http { get; }

    public Uri WebSocket { get; }

    public IServiceProvider Services => _app.Services;

    public static async Task<RelayHost> StartAsync(long now = 1_700_000_500, string? directory = null, params string[] settings)
    {
        var owns = directory is null;
        directory ??= System.IO.Directory.CreateTempSubdirectory("marmot-relay-").FullName;
        var builder = MarmotHost.CreateBuilder([
            "--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=", "--Public:Origin=" + Origin, "--Log:Level=Fatal",
            "--Storage:DataDirectory=" + directory, .. settings]);
        var clock = new WallClock(DateTimeOffset.FromUnixTimeSeconds(now));
        builder.AddRelay();
        builder.Services.AddSingleton<TimeProvider>(clock);
        var app = builder.Build();
        app.UseRouting();
        app.MapRelay();
        await app.StartAsync();
        return new RelayHost(app, directory, clock, owns);
    }

    public async Task<TestClient> ConnectAsync()
    {
        var client = new TestClient();
        await client.ConnectAsync(WebSocket);
        return client;
    }

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
