namespace Marmot.NotifyServer.Dispatch;

/// <summary>How an admitted push ended; each ends once.</summary>
internal enum PushEnd
{
    Accepted,

    /// <summary>The device's token is no longer valid.</summary>
    Dead,

    /// <summary>The token is another app's.</summary>
    Foreign,

    /// <summary>The provider refuses the request.</summary>
    Refused,

    /// <summary>Sent and never answered, and not to be repeated.</summary>
    Uncertain,

    /// <summary>The hint's lifetime was over.</summary>
    Expired,

    /// <summary>The server stopped first.</summary>
    Abandoned,

    /// <summary>Another replica rang the device.</summary>
    Coalesced,
}
