using Marmot.TestKit;

namespace Marmot.Interop;

/// <summary>Relay, Blossom and notification server in one real process; stopped with SIGTERM at the end, which must succeed.</summary>
public sealed class SuiteFixture : IAsyncLifetime
{
    private readonly TemporaryFolder _data = new();
    private MarmotServerProcess? _suite;

    internal MarmotServerProcess Suite => _suite ?? throw new InvalidOperationException("not started");

    public async Task InitializeAsync() => _suite = await MarmotServerProcess.StartAsync(
        "all",
        _data.File("data"),
        "--Blossom:Profile=General", // lists, mirror
        "--Blossom:MirrorPrivateAddresses=true", // the origin is on this machine
        "--Relay:GroupEventClockSkew=00:00:00", // the vectors' group events are months old
        "--Log:Level=Verbose");

    public async Task DisposeAsync()
    {
        try
        {
            if (_suite is not null)
            {
                int exitCode = await _suite.StopAsync();
                Assert.True(exitCode == 0, $"SIGTERM: marmot-server ended with {exitCode}:\n{_suite.Output}");
                await _suite.DisposeAsync();
            }
        }
        finally
        {
            _data.Dispose();
        }
    }
}
