namespace Marmot.NotifyServer.Inbox;

/// <summary>What became of one of our own triggers.</summary>
internal enum CanaryOutcome
{
    Arrived,

    /// <summary>Taken by the relay and never delivered.</summary>
    Lost,

    /// <summary>Not taken by the relay: nothing is measured.</summary>
    Refused,
}
