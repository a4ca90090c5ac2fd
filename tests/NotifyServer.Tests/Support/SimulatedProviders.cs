using Marmot.ProviderSimulators;

namespace Marmot.NotifyServer.Tests.Support;

/// <summary>Both simulators under one authority.</summary>
internal sealed class SimulatedProviders(ApnsSimulator apns, FcmSimulator fcm) : IAsyncDisposable
{
    public ApnsSimulator Apns => apns;

    public FcmSimulator Fcm => fcm;

    /// <summary>For several servers one after the other, each with a provider token of its own.</summary>
    public static Task<SimulatedProviders> StartSharedAsync() => StartAsync(apns => apns.ProviderTokenUpdateInterval = TimeSpan.Zero);

    public static async Task<SimulatedProviders> StartAsync(Action<ApnsSimulatorOptions>? configureApns = null,
        Action<FcmSimulatorOptions>? configureFcm = null)
    {
        var authority = SimulatorAuthority.Create([]);
        var apns = new ApnsSimulatorOptions { Authority = authority };
        var fcm = new FcmSimulatorOptions { Authority = authority };
        configureApns?.Invoke(apns);
        configureFcm?.Invoke(fcm);
        return new SimulatedProviders(await ApnsSimulator.StartAsync(apns, CancellationToken.None), await FcmSimulator.StartAsync(fcm, CancellationToken.None));
    }

    public async ValueTask DisposeAsync()
    {
        await apns.DisposeAsync();
        await fcm.DisposeAsync();
    }
}
