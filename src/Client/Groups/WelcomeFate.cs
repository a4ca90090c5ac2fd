namespace Marmot.Client.Groups;

/// <summary>What becomes of a Welcome into a group that is known already.</summary>
internal enum WelcomeFate
{
    /// <summary>It changes nothing.</summary>
    Refuse,

    /// <summary>It is kept beside the one followed, until somebody is heard on either branch.</summary>
    Keep,

    /// <summary>The group is joined anew by it.</summary>
    Follow,
}
