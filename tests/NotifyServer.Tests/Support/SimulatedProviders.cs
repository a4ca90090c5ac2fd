using Marmot.ProviderSimulators;
using Marmot.TestKit;

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
        if (Clock.Steps)
        {
            BearSteps(apns);
            BearSteps(fcm);
        }

        configureApns?.Invoke(apns);
        configureFcm?.Invoke(fcm);
        return new SimulatedProviders(await ApnsSimulator.StartAsync(apns, CancellationToken.None), await FcmSimulator.StartAsync(fcm, CancellationToken.None));
    }

    /// <summary>For a server whose date is up to a day wrong: tokens of any date are taken.</summary>
    public static void BearSteps(ApnsSimulatorOptions apns) =>
        (apns.ClockSkew, apns.ProviderTokenLifetime) = (SteppingClock.Farthest * 2, SteppingClock.Farthest * 2);

    /// <summary>The same for FCM, whose assertions bear the date of their end too.</summary>
    public static void BearSteps(FcmSimulatorOptions fcm) =>
        (fcm.ClockSkew, fcm.Clock) = (SteppingClock.Farthest * 3, new WallClock(DateTimeOffset.UtcNow - SteppingClock.Farthest));

    public async ValueTask DisposeAsync()
    {
        await apns.DisposeAsync();
        await fcm.DisposeAsync();
    }
}
