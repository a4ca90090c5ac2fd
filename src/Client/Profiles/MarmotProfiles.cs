namespace Marmot.Client.Profiles;

/// <summary>The words for profiles on command lines and in JSON.</summary>
public static class MarmotProfiles
{
    /// <summary>The profile a word names.</summary>
    /// <exception cref="ClientException">It names none that an account can speak.</exception>
    public static MarmotProfile Parse(string word) => word switch
    {
        "mip" => MarmotProfile.Mip,
        "adopted" => MarmotProfile.Adopted,
        _ => throw new ClientException($"the profile is mip or adopted, not {word}"),
    };

    /// <summary>The word for a profile.</summary>
    public static string Name(MarmotProfile profile) => profile switch
    {
        MarmotProfile.Mip => "mip",
        MarmotProfile.Adopted => "adopted",
        MarmotProfile.Legacy => "legacy",
        _ => "unknown",
    };
}
