namespace Marmot.AllInOne.Doctor;

/// <summary>How a step ended.</summary>
internal enum DoctorOutcome
{
    Passed,
    Failed,

    /// <summary>Not asked for, or a step before it failed.</summary>
    Skipped,
}

/// <summary>One step of the deployment check.</summary>
internal sealed record DoctorStep(string Name, DoctorOutcome Outcome, TimeSpan Elapsed, string Detail);

/// <summary>A step found something wrong; the message says what.</summary>
internal sealed class DoctorFinding(string message) : Exception(message);
